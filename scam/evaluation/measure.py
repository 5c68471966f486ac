# SPDX-License-Identifier: Apache-2.0
"""From the names of metrics to their numbers, in one walk over the pictures."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import torch

from scam.data import PairDataset
from scam.evaluation import networks, quality
from scam.evaluation.bench import Bench
from scam.evaluation.distribution import DistributionMeter
from scam.evaluation.edits import CycleMeter, LocalityMeter, MapNoiseMeter
from scam.evaluation.identity import IdentityMeter
from scam.evaluation.pictures import Meter, at_most, walk
from scam.evaluation.progress import progress
from scam.evaluation.references import Extractor, Reference, default_cache
from scam.evaluation.rows import MissingError, Row

METRICS = {
    "psnr": "PSNR of reconstructions: pooled, per picture, per label, and of flat colours",
    "ssim": "SSIM of reconstructions",
    "lpips": "LPIPS of reconstructions",
    "pyramid": "multi-scale difference of reconstructions: pictures and their gradients",
    "detail": "fine detail of reconstructions over that of the pictures: 1 is as sharp",
    "fid": "R-FID and S-FID, against training pictures and those measured on",
    "kid": "kernel distances of the same sets, unbiased however few pictures",
    "fd": "Frechet distances by another network: DINOv2, or --extractor",
    "reid": "REIDSim and REIDAcc: is the donor's subject still that person?",
    "locality": "changes outside a label that was edited alone, with and without paste-back",
    "cycle": "a subject sent to another picture and back",
    "maps": "reconstruction with label maps that are a bit off",
    "cost": "milliseconds and memory of one edit",
}
_Build = Callable[[list[str]], Meter]


def build_meters(
    bench: Bench, args: argparse.Namespace, wanted: Sequence[str]
) -> tuple[list[Meter], list[Row]]:
    """Meters of the wanted metrics, and rows that say why others cannot be measured.

    Cost is no meter. InputError where a flag names something unusable.
    """
    meters: list[Meter] = []
    missing = []
    for names, build in _builders(bench, args).items():
        asked = [name for name in names if name in wanted]
        if not asked:
            continue
        try:
            meters.append(build(asked))
        except MissingError as reason:
            missing += [
                Row(name, METRICS[name].split(":")[0], None, note=str(reason)) for name in asked
            ]
    return meters, missing


@torch.no_grad()
def measure(bench: Bench, meters: Sequence[Meter], batch_size: int) -> list[Row]:
    """What the meters find in one walk over all pictures."""
    if meters:
        with progress("pictures", len(bench.test)) as bar:
            for pictures in walk(bench.painter, bench.test, bench.donors, batch_size):
                for meter in meters:
                    meter.update(pictures)
                bar.update(len(pictures.image))
    return [row for meter in meters for row in meter.rows()]


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Rows in the order of ``METRICS``."""
    names = list(METRICS)
    return sorted(rows, key=lambda row: names.index(row.metric))


def _builders(bench: Bench, args: argparse.Namespace) -> dict[tuple[str, ...], _Build]:
    """Metrics that share a meter, and how to make it for those of them that are wanted."""
    size, device = bench.painter.model.config.size, bench.painter.device
    names = bench.checkpoint.label_names
    floors = quality.floors(bench.train, bench.test)
    return {
        ("psnr",): lambda _: quality.PsnrMeter(names, floors),
        ("ssim",): lambda _: quality.ssim_meter(),
        ("lpips",): lambda _: quality.lpips_meter(
            args.lpips_trunk, args.lpips_weights, size, device
        ),
        ("pyramid",): lambda _: quality.pyramid_meter(),
        ("detail",): lambda _: quality.detail_meter(),
        ("fid", "kid"): lambda asked: _distribution(bench, args, _inception(args), asked),
        ("fd",): lambda asked: _distribution(bench, args, _other(args), asked),
        ("reid",): lambda _: IdentityMeter(_person(args), device),
        ("locality",): lambda _: LocalityMeter(args.seed),
        ("cycle",): lambda _: CycleMeter(),
        ("maps",): lambda _: MapNoiseMeter(size),
    }


def _inception(args: argparse.Namespace) -> networks.Inception:
    flag, given = "--inception-weights", args.inception_weights
    return networks.Inception(networks.weights_file(flag, given, networks.INCEPTION))


def _other(args: argparse.Namespace) -> networks.Given | networks.DinoV2:
    if args.extractor is not None:
        return networks.Given(args.extractor)
    flag, given = "--dinov2-weights", args.dinov2_weights
    return networks.DinoV2(networks.weights_file(flag, given, networks.DINOV2))


def _person(args: argparse.Namespace) -> torch.nn.Module:
    flag, given = "--reid-weights", args.reid_weights
    return networks.person_network(networks.weights_file(flag, given, networks.PERSON))


def _distribution(
    bench: Bench, args: argparse.Namespace, network: Any, asked: list[str]
) -> DistributionMeter:
    """R- and S- distances of the features of ``network``."""

    def train() -> PairDataset:
        full = bench.train()
        part = at_most(full.source, args.reference_pictures)
        return PairDataset(part, full.size, cache_bytes=0)  # each is seen once

    extractor = Extractor(
        network, network.name, bench.painter.device, args.batch_size, args.cache or default_cache()
    )
    references = [Reference("train", train), Reference(bench.facts["split"], lambda: bench.test)]
    kinds = {"fid": "frechet", "kid": "kernel", "fd": "frechet"}
    metrics = {kinds[name]: name for name in asked}
    return DistributionMeter(extractor, references, metrics, len(bench.test))
