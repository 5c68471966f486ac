# SPDX-License-Identifier: Apache-2.0
"""The flags of ``python -m scam.compare``."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from scam.commandline.command import Parser
from scam.commandline.flags import add_flag, add_flags
from scam.commandline.start import ABOUT
from scam.comparison.options import MeasuringOptions
from scam.comparison.variants import LISTS, Settings
from scam.data.options import DataOptions
from scam.errors import NAMED, InputError, as_flag
from scam.models.config import DATA_SETS, FIRST_KIND, ModelConfig
from scam.models.registry import MODELS
from scam.synthesis.options import NEW_RUN, WITH_MUON, SynthesisOptions

EXAMPLES = """\
  python -m scam.compare --models scam,spade,clade --out runs/compare --amp --steps 500
      three models on drawn mannequins; run again, it resumes where it stopped
  python -m scam.compare --models scam,sean,sean:paper --out runs/sean --data photos
      SEAN trained like SCAM, and as its authors did
  python -m scam.compare --variants ablations --out runs/ablations --only full,simplex,k4
      rows of the paper's Table 2
  python -m scam.compare --variants small-data --out runs/few --seeds 0 1 --data photos
      options for few images, each trained twice"""
_OWN = ("out", "models", "variants", "only", "seeds", "html", "device")
_FIDELITY = "fidelity"
"""No flag here: it is said of each model."""


def compare_parser(prog: str) -> Parser:
    """Flags that were not given are None."""
    listed = [
        "\n".join(
            [f"variants of {x}, with --gan 1 unless they say otherwise:", *_described(LISTS[x])]
        )
        for x in LISTS
    ]
    parser = Parser(
        prog,
        f"{ABOUT['compare']}\n"
        "Flags of scam.train apply to every run, or to those whose model has the setting.",
        "\n\n".join([EXAMPLES, *listed]),
    )
    group = parser.group("comparison")
    group.add_argument("--out", type=Path, required=True, help="folder of all runs")
    group.add_argument(
        "--models", type=_words, metavar="KIND,...",
        help=f"some of {', '.join(MODELS)}; KIND:FIDELITY for another fidelity, as sean:paper "
        f"(default: every kind, with --variants {FIRST_KIND})",
    )  # fmt: skip
    group.add_argument("--variants", metavar="LIST", help=f"{' or '.join(LISTS)}, see below")
    group.add_argument(
        "--only", type=_words, metavar="NAME,...", help="some of the variants (default: all)"
    )
    group.add_argument(
        "--seeds", type=int, nargs="+", metavar="N",
        help="train each once per seed (default: once, from --seed)",
    )  # fmt: skip
    group.add_argument(
        "--html", action="store_true",
        help="also a page, index.html, with the table and the sheet's images",
    )  # fmt: skip
    group.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")
    add_flags(parser, DataOptions)
    parser.group("model").add_argument("--preset", help=f"{', '.join(DATA_SETS)} (default: tiny)")
    _add_model_flags(parser)
    add_flags(parser, SynthesisOptions, SynthesisOptions.presets, NEW_RUN | WITH_MUON)
    add_flags(parser, MeasuringOptions)
    return parser


def common_settings(args: argparse.Namespace) -> Settings:
    """The settings for every run among parsed flags. InputError for ``seed`` beside ``seeds``."""
    if args.seed is not None and args.seeds is not None:
        raise InputError("{seed}, {seeds}: give one of the two", seed=NAMED, seeds=NAMED)
    other = {*_OWN, *MeasuringOptions.settings()}
    return {
        name: value
        for name, value in vars(args).items()
        if value is not None and name not in other
    }


def _add_model_flags(parser: Parser) -> None:
    """One flag for a setting of whichever kinds have it."""
    kinds: dict[str, list[type[ModelConfig]]] = {}
    for model in MODELS.values():
        for name, what in model.Config.settings().items():
            if what.flag and name != _FIDELITY:
                kinds.setdefault(name, []).append(model.Config)
    for name, configs in kinds.items():
        some = [config.kind for config in configs] if len(configs) < len(MODELS) else []
        help = ", ".join([*some, "default: each kind's own"])
        what = replace(configs[0].settings()[name], default_help=help)
        add_flag(parser, name, what, configs[0].heading)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _described(variants: Mapping[str, Settings]) -> Iterator[str]:
    """Names and settings, as the flags of ``scam.train`` would say them."""
    for name, own in variants.items():
        flags = (as_flag(f"--{x.replace('_', '-')}", value) for x, value in own.items())
        yield f"  {name:<27} {' '.join(flags)}".rstrip()
