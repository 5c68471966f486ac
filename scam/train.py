# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.train``: train a model on a folder of images, or on drawn mannequins."""

from collections.abc import Sequence
from contextlib import ExitStack

from scam.checkpoints.step_folders import newest_step_folder
from scam.commandline.command import in_flags, run
from scam.commandline.console import say
from scam.commandline.device import open_device
from scam.data.advice import path_word
from scam.synthesis.flags import chosen_config, train_parser
from scam.synthesis.job import heading, make_job, open_run
from scam.synthesis.settings import asked_settings
from scam.synthesis.task import train
from scam.training.distributed import join

PROG = "python -m scam.train"


@in_flags
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, open or start the run folder, train, and say what it left and what uses that."""
    config = chosen_config(PROG, argv)
    args = vars(train_parser(PROG, config).parse_args(argv))
    asked = {name: value for name, value in args.items() if value is not None}
    out, resume = asked.pop("out", None), asked.pop("resume")
    device = open_device(asked.pop("device", None))
    with join(device) as (world, device), ExitStack() as stack:
        folder, resumed = world.from_main(
            lambda: open_run(asked_settings(asked, config), out, resume, stack)
        )
        try:
            job = make_job(folder, resumed, device, world)
            about = "\n".join([heading(job), *resumed.said])
            sheet = train(job, resume=resume, heading=about)
        except BaseException:
            if world.is_main and not resume and not folder.has_steps():
                folder.discard()
            raise
        if world.is_main:
            where = path_word(folder.path)
            say(
                f"sheet: {sheet}",
                f"checkpoint: {newest_step_folder(folder.checkpoints)}",
                f"next: python -m scam.transfer {where} "
                "--subject NAME --background NAME --out FILE",
                f"      python -m scam.studio {where}",
            )


if __name__ == "__main__":
    run(main, PROG)
