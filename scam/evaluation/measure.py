# SPDX-License-Identifier: Apache-2.0
"""From the names of metrics to their numbers, in one walk over the images."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from scam.commandline.progress import progress
from scam.data import PairDataset
from scam.data.subset import at_most
from scam.errors import MissingError
from scam.evaluation import quality
from scam.evaluation.batches import Meter, batches
from scam.evaluation.cost import cost_rows
from scam.evaluation.distribution import DistributionMeter
from scam.evaluation.edits import CycleMeter, LocalityMeter, MapNoiseMeter
from scam.evaluation.identity import IdentityMeter
from scam.evaluation.options import METRICS, EvaluationOptions
from scam.evaluation.references import Extractor, Reference, default_cache
from scam.evaluation.rows import Row, averaged
from scam.evaluation.setup import EvaluationSetup, open_setup
from scam.evaluation.transfers import InfluenceMeter, TransferMeter
from scam.pretrained.features import CustomExtractor, DinoV2, Inception, person_network
from scam.pretrained.full_precision import full_precision
from scam.pretrained.published import DINOV2, INCEPTION, PERSON
from scam.pretrained.weights import weights_file

_Build = Callable[[list[str]], Meter]


def evaluate(options: EvaluationOptions) -> list[Row]:
    """Measure a model: every number that ``python -m scam.evaluate`` prints, and no file.

    Raises:
        InputError: something cannot be loaded, or does not fit the model.
    """
    return measure(open_setup(options))


def measure(setup: EvaluationSetup) -> list[Row]:
    """All rows in order of METRICS; where the model needs noise, means over its draws.

    InputError where an option names something unusable.
    """
    draws = setup.options.noise_seeds if setup.evaluated.model.needs_noise else 1
    passes = []
    for draw in range(draws):
        each = replace(setup, evaluated=setup.evaluated.with_draw(draw))
        passes.append(_walk(each, *_build_meters(each)))
    return averaged(passes, f"mean of {draws} draws of noise")


def _build_meters(setup: EvaluationSetup) -> tuple[list[Meter], list[Row]]:
    """Meters of the wanted metrics, and rows that are known already.

    These are the costs, and for each metric that cannot be measured the reason. InputError where
    an option names something unusable.
    """
    wanted = setup.options.metrics
    meters: list[Meter] = []
    known = cost_rows(setup.some(1)) if "cost" in wanted else []
    for names, build in _builders(setup).items():
        asked = [name for name in names if name in wanted]
        if not asked:
            continue
        try:
            meters.append(build(asked))
        except MissingError as reason:
            known += [
                Row(
                    name,
                    re.split("[:,]", METRICS[name])[0],
                    None,
                    note=str(reason),
                    lack=reason.lack,
                )
                for name in asked
            ]
    return meters, known


@torch.no_grad()
def _walk(setup: EvaluationSetup, meters: Sequence[Meter], known: Sequence[Row]) -> list[Row]:
    """``known`` and what the meters find in one walk over all images, in order of METRICS."""
    if meters:
        options, count = setup.options, len(setup.test)
        walk = batches(
            setup.evaluated, setup.test, setup.donors, options.batch_size, workers=options.workers
        )
        with full_precision(), progress("evaluate", count, logged=True) as bar:
            for batch in walk:
                for meter in meters:
                    meter.update(batch)
                bar.update(len(batch.image))
    names = list(METRICS)
    rows = [*known, *(row for meter in meters for row in meter.rows())]
    return sorted(rows, key=lambda row: names.index(row.metric))


def _builders(setup: EvaluationSetup) -> dict[tuple[str, ...], _Build]:
    """Metrics that share a meter, and how to make it for those of them that are wanted."""
    options = setup.options
    size, device = setup.evaluated.model.config.size, setup.evaluated.device
    names = setup.checkpoint.label_names
    return {
        ("psnr",): lambda _: quality.psnr_meter(names, setup.train, options.workers),
        ("ssim",): lambda _: quality.ssim_meter(),
        ("lpips",): lambda _: quality.lpips_meter(
            options.lpips_trunk, options.lpips_weights, size, device
        ),
        ("pyramid",): lambda _: quality.pyramid_meter(),
        ("detail",): lambda _: quality.detail_meter(),
        ("fid", "kid"): lambda asked: _distribution(setup, _inception(options), asked),
        ("fd",): lambda asked: _distribution(setup, _other(options), asked),
        ("reid",): lambda _: IdentityMeter(_person(options), device),
        ("locality",): lambda _: _per_label(setup, LocalityMeter(options.seed)),
        ("cycle",): lambda _: _per_label(setup, CycleMeter()),
        ("transfer",): lambda _: TransferMeter(setup.test, setup.donors),
        ("influence",): lambda _: InfluenceMeter(len(names), setup.donors),
        ("maps",): lambda _: MapNoiseMeter(size),
    }


def _inception(options: EvaluationOptions) -> Inception:
    return Inception(weights_file("inception_weights", options.inception_weights, INCEPTION))


def _other(options: EvaluationOptions) -> CustomExtractor | DinoV2:
    if options.extractor is not None:
        return CustomExtractor(options.extractor)
    return DinoV2(weights_file("dinov2_weights", options.dinov2_weights, DINOV2))


def _person(options: EvaluationOptions) -> torch.nn.Module:
    return person_network(weights_file("reid_weights", options.reid_weights, PERSON))


def _per_label(setup: EvaluationSetup, meter: Meter) -> Meter:
    """``meter``; MissingError for a model that cannot edit one label."""
    if not setup.evaluated.model.styles_per_label:
        raise MissingError("cannot: the model has one style for the whole image")
    return meter


def _distribution(setup: EvaluationSetup, network: Any, asked: list[str]) -> DistributionMeter:
    """R- and S- distances of the features of ``network``."""
    options = setup.options

    def train() -> PairDataset:
        full = setup.train()
        part = at_most(full.source, options.reference_pictures)
        return PairDataset(part, full.size, cache_bytes=0)  # each is seen once

    extractor = Extractor(
        network,
        network.name,
        setup.evaluated.device,
        options.batch_size,
        options.cache or default_cache(),
        options.workers,
    )
    split = setup.facts["split"]
    references = [Reference("train", train)] if split != "train" else []
    references.append(Reference(split, lambda: setup.test))
    kinds = {"fid": "frechet", "kid": "kernel", "fd": "frechet"}
    metrics = {kinds[name]: name for name in asked}
    return DistributionMeter(extractor, references, metrics, len(setup.test))
