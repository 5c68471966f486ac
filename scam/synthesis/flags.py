# SPDX-License-Identifier: Apache-2.0
"""The flags of ``python -m scam.train``."""

from collections.abc import Sequence

from scam.commandline.command import Parser
from scam.commandline.flags import add_flags
from scam.commandline.start import ABOUT
from scam.data.options import DataOptions
from scam.models.config import DATA_SETS, FIRST_KIND, ModelConfig
from scam.models.registry import MODELS
from scam.synthesis.options import NEW_RUN, WITH_MUON, SynthesisOptions
from scam.synthesis.settings import config_of

EXAMPLES = """\
  python -m scam.train --amp --fused-sca
      train on drawn mannequins; a sheet of images within minutes on two cores
  python -m scam.train --amp --fused-sca --data photos --labels labels_lip20 \\
      --merge idesigner --preset tiny --steps 1500 --out runs/photos
      train on photos/images with photos/labels_lip20, 20 labels merged to 3
  python -m scam.train --data photos --diffaugment color,translation,cutout --lecam 0.3
      few photographs: keep the discriminator from memorising them
  python -m scam.train --discriminator oasis --labelmix 10 --lr-discriminator 4e-4 --gan-from 0
      a segmentation network as discriminator, in place of the paper's
  python -m scam.train --discriminator patch --feature-matching 10 --betas 0 0.9 --decay-from 0.5
      losses and schedule of SPADE and its successors
  python -m scam.train --resume --out runs/photos --steps 3000
      resume from the newest checkpoint, with the settings it was started with
  python -m scam.train --gradient-checkpointing --channels-last --accumulate 2
      less memory: blocks computed twice, steps of two times --batch-size
  torchrun --standalone --nproc-per-node 2 -m scam.train --out runs/two
      two processes share every batch; on GPUs one each"""


def chosen_config(prog: str, argv: Sequence[str] | None) -> type[ModelConfig]:
    """The settings of the kind of model that is asked for, or else of the run to resume."""
    first = Parser(prog, "", "", add_help=False)
    _add_model(first)
    _add_run(first)
    args, _ = first.parse_known_args(argv)
    return config_of(args.kind, args.out if args.resume else None)


def train_parser(prog: str, config: type[ModelConfig]) -> Parser:
    """Flags that were not given are None, so that ``--resume`` can tell what was asked for."""
    about = f"{ABOUT['train']}\nThe settings listed are those of --model {config.kind}."
    parser = Parser(prog, about, EXAMPLES)
    add_flags(parser, DataOptions)
    _add_model(parser)
    add_flags(parser, config, {name: config.preset_values(name) for name in DATA_SETS})
    add_flags(parser, SynthesisOptions, SynthesisOptions.presets, NEW_RUN | WITH_MUON)
    _add_run(parser)
    return parser


def _add_model(parser: Parser) -> None:
    """What decides on the settings of the model."""
    group = parser.group("model")
    kinds = f"{', '.join(MODELS)} (default: {FIRST_KIND})"
    group.add_argument("--model", dest="kind", metavar="MODEL", help=kinds)
    group.add_argument("--preset", help=f"{', '.join(DATA_SETS)} (default: tiny)")


def _add_run(parser: Parser) -> None:
    """What is not a setting: the place."""
    group = parser.group("run")
    group.add_argument("--out", help="run folder (default: a new one under runs/)")
    resume = "resume the run in --out; with --data, where its images are now"
    group.add_argument("--resume", action="store_true", help=resume)
    group.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")
