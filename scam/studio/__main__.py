# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.studio``: photographs edited by label map, on a page in the browser."""

import argparse
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from scam.checkpoints.step_folders import DEMO
from scam.checkpoints.weights import CONFIG
from scam.commandline.command import in_flags, run
from scam.commandline.console import say
from scam.commandline.device import open_device
from scam.data.parser import load_parser
from scam.editing.sources import Finder, Folder
from scam.errors import SPELLING, InputError
from scam.models.checkpoint import Checkpoint, load_checkpoint
from scam.semia.folder import LABELS, SOURCE, holds_source
from scam.studio.analogies import AnalogyOpener
from scam.studio.flags import MANNEQUINS, check_flags, check_paths, check_source, studio_parser
from scam.studio.opener import Opener
from scam.studio.pictures import Pictures
from scam.studio.replay import replay
from scam.version import install

PROG = "python -m scam.studio"
_MOST_EXAMPLES = 24


@in_flags
def main(argv: Sequence[str] | None = None) -> None:
    """Load, then serve the page or replay a session."""
    args = studio_parser(PROG).parse_args(argv)
    check_flags(args)
    if args.replay is None:
        expect_server()
    path = args.checkpoint or (MANNEQUINS if Path(MANNEQUINS).is_dir() else DEMO)
    of_semia = path != DEMO and holds_source(Path(path))
    opener, files = _source(args, path) if of_semia else _model(args, path)
    if args.replay is not None:
        check_paths(args, opener.files, files)
        replay(opener, args.replay, args.out, overwrite=args.overwrite)
        say(f"replayed {args.replay} into {args.out}")
        return
    from scam.studio.serve import serve

    serve(opener, args.host, args.port, browser=not args.no_browser)


def expect_server() -> None:
    """InputError if the extra is not installed."""
    missing = [name for name in ("starlette", "uvicorn") if not importlib.util.find_spec(name)]
    if missing:
        raise InputError(f"{' and '.join(missing)}: not installed; run {install('studio')}")


def _model(args: argparse.Namespace, path: str) -> tuple[Opener, list[Path]]:
    """For a trained model; and the files that are read."""
    parser = None if args.parser is None else load_parser(args.parser)
    checkpoint = load_checkpoint(path, device=open_device(args.device))
    return Opener(Pictures(checkpoint, _examples(args, checkpoint), parser)), checkpoint.files


def _source(args: argparse.Namespace, path: str) -> tuple[AnalogyOpener, list[Path]]:
    """For one image; and the files that are read."""
    check_source(args)
    folder = Path(path)
    files = [folder / name for name in (CONFIG, SOURCE, LABELS)]
    return AnalogyOpener(folder, open_device(args.device)), files


def _examples(args: argparse.Namespace, checkpoint: Checkpoint) -> Folder | None:
    try:
        return Finder(checkpoint, args.data, args.labels).examples(_MOST_EXAMPLES)
    except InputError as error:
        if args.data is not None or args.labels is not None:
            raise
        if args.replay is None:
            error.spell(SPELLING.get())
            say(f"no examples: {error}")
        return None


if __name__ == "__main__":
    run(main, PROG)
