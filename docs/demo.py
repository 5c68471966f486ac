# SPDX-License-Identifier: Apache-2.0
"""Make ``scam/demo``, the model that comes with the package: ``python docs/demo.py runs/demo``."""

from collections.abc import Sequence
from pathlib import Path

import scam
from scam.commandline import command
from scam.commandline.console import say
from scam.data import Mannequins, PairDataset
from scam.errors import InputError
from scam.models import SynthesisModel
from scam.synthesis.previews import colour_floors, learn_colours, reconstruction_psnr

PROG = "python docs/demo.py"
DEMO = Path(__file__).parents[1] / "scam" / "demo"
_HEAD = "---\nlicense: apache-2.0\n"
_TAIL = """
## This one

It comes with the package: `scam.load("demo")`, and `demo` as the CHECKPOINT of every command. It
was trained on images that the package draws (`scam.data.Mannequins`): no photographs, no real
people. The weights are under the licence of the package, Apache-2.0.

```sh
{training}
python docs/demo.py runs/demo
```

| reconstruction of the {count} held-out mannequins | PSNR, pooled |
|---|---|
| these weights, float16 | {half:.3f} dB |
| those of the run, float32 | {full:.3f} dB |
| flat colours, the training set's mean per label | {floor:.2f} dB |
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Save a run in half precision, with a card that says what that costs."""
    parser = command.Parser(PROG, "Make the model in scam/demo.", f"  {PROG} runs/demo")
    parser.add_argument("run", help="of mannequins: the folder or one of its step folders")
    parser.add_argument("--out", type=Path, default=DEMO, help="default: scam/demo")
    args = parser.parse_args(argv)
    model = scam.load(args.run)
    trained = model.about.get("trained", {})
    if trained.get("data") != "mannequins":
        raise InputError(f"{args.run}: expected a model trained on mannequins")
    size = model.config.size
    held_out = PairDataset(Mannequins("val"), size)
    colours = learn_colours(PairDataset(Mannequins("train"), size))
    floors = colour_floors(colours, held_out)
    model.save_pretrained(args.out, half=True)
    full, half = (psnr(each, held_out) for each in (model, scam.load(args.out)))
    settings = {
        "--steps": trained["steps"],
        "--encoder-width": model.config.as_dict()["encoder_width"],
    }
    if trained["discriminator"] != "none":
        settings["--gan"] = 1
    words = [str(word) for pair in settings.items() for word in pair]
    text = _TAIL.format(
        training=" ".join(["python -m scam.train --amp --fused-sca", *words, "--out runs/demo"]),
        count=len(held_out),
        half=half,
        full=full,
        floor=floors["psnr_mean_colours"],
    )
    card = str(model.generate_model_card()).replace("---\n", _HEAD, 1) + text
    model.save_pretrained(args.out, half=True, model_card_kwargs={"card": card})
    say(f"{args.out}: {half:.3f} dB in half precision, {full:.3f} dB before")


def psnr(model: SynthesisModel, held_out: PairDataset) -> float:
    """Pooled, of reconstructions, in dB."""
    return reconstruction_psnr(model, held_out, batch_size=16).pooled


if __name__ == "__main__":
    command.run(main, PROG)
