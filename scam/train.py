# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.train``: train a model on a folder of images, or on drawn mannequins."""

from collections.abc import Sequence

from scam.checkpoints.step_folders import newest_step_folder
from scam.commandline.command import in_flags, run
from scam.commandline.console import say
from scam.data.advice import path_word
from scam.synthesis.flags import chosen_config, train_parser
from scam.synthesis.run import run_training

PROG = "python -m scam.train"


@in_flags
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, open or start the run folder, train, and say what it left and what uses that."""
    config = chosen_config(PROG, argv)
    args = vars(train_parser(PROG, config).parse_args(argv))
    asked = {name: value for name, value in args.items() if value is not None}
    out, device, resume = asked.pop("out", None), asked.pop("device", None), asked.pop("resume")
    folder, sheet, is_main = run_training(asked, config, out, resume, device)
    if is_main:
        where = path_word(folder.path)
        say(
            f"sheet: {sheet}",
            f"checkpoint: {newest_step_folder(folder.checkpoints)}",
            f"next: python -m scam.transfer {where} --subject NAME --background NAME --out FILE "
            "--sheet SHEET",
            f"      python -m scam.evaluate {where}",
            f"      python -m scam.studio {where}",
        )


if __name__ == "__main__":
    run(main, PROG)
