# SPDX-License-Identifier: Apache-2.0
"""Where a run's numbers go beside ``metrics.jsonl``: TensorBoard, Weights & Biases."""

import contextlib
import importlib
import netrc
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from scam.errors import InputError, first_line
from scam.storage.files import write_aside

TENSORBOARD = "tensorboard"
WANDB = "wandb"

_ONLINE = ("online", "shared", "run")  # the modes that would ask who is not logged in
_NOT_IN_NAMES = frozenset("/\\#?%:")  # W&B refuses them in a project's name


@dataclass(frozen=True)
class Tracker:
    """Takes the numbers of a step by name, of steps that never fall; ``close`` ends it."""

    add: Callable[[int, Mapping[str, float]], object]
    close: Callable[[], object]


def open_trackers(
    run: Path,
    step0: int,
    project: str | None,
    settings: Mapping[str, Any],
    say: Callable[[str], None] = print,
) -> list[Tracker]:
    """TensorBoard where its package is installed, Weights & Biases where ``project`` names one.

    say: gets a line about where Weights & Biases keeps them, in place of wandb's own words.

    Raises InputError when ``project`` is not a name, wandb is not installed or refuses, or
    WANDB_MODE needs a login and there is none.
    """
    trackers = [] if project is None else [_weights_and_biases(run, project, settings, say)]
    with contextlib.suppress(ImportError):
        trackers.append(_tensorboard(run, step0))
    return trackers


def _tensorboard(run: Path, step0: int) -> Tracker:
    """Event files in ``run/tensorboard``; what is there of steps after ``step0`` is hidden."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(run / TENSORBOARD), purge_step=step0 + 1)

    def add(step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, step)

    return Tracker(add, writer.close)


def _weights_and_biases(
    run: Path, project: str, settings: Mapping[str, Any], say: Callable[[str], None]
) -> Tracker:
    """A run of ``project``, named like the run folder and taken up again when it is resumed.

    Nobody is ever asked to log in: without a stored login, WANDB_API_KEY or WANDB_MODE the run
    stays in ``run/wandb``, from where ``wandb sync`` uploads it.
    """
    if not project.strip() or _NOT_IN_NAMES & set(project):
        without = " ".join(sorted(_NOT_IN_NAMES))
        message = f"{{wandb}}: expected the name of a project, without {without}"
        raise InputError(message, wandb=project)
    try:
        wandb: Any = importlib.import_module("wandb")
    except ImportError as error:
        message = "{wandb}: wandb is not installed (pip install wandb)"
        raise InputError(message, wandb=project) from error
    mode = os.environ.get("WANDB_MODE", "")
    try:
        logged_in = mode in ("", *_ONLINE) and _logged_in(wandb)
        if mode in _ONLINE and not logged_in:
            message = f"WANDB_MODE={mode}: expected a login, by wandb login or WANDB_API_KEY"
            raise InputError(message)
        mode = mode or ("online" if logged_in else "offline")
        started = wandb.init(
            project=project, name=run.name, id=_stored_id(run / WANDB / "id"), resume="allow",
            mode=mode, dir=str(run), config=dict(settings), settings={"silent": True},
        )  # fmt: skip
    except wandb.Error as error:
        raise InputError(f"{{wandb}}: {first_line(error)}", wandb=project) from error
    places = {"offline": f"offline in {run / WANDB}, upload with wandb sync"}
    if mode == "online":
        places[mode] = str(started.url)
    say(f"wandb: {places.get(mode, mode)}")
    return Tracker(lambda step, numbers: started.log(dict(numbers), step=step), started.finish)


def _stored_id(path: Path) -> str:
    if not path.exists():
        with write_aside(path) as file:
            file.write(secrets.token_hex(8).encode())
    return path.read_text()


def _logged_in(wandb: Any) -> bool:
    with contextlib.suppress(AttributeError, TypeError):  # older ones cannot be kept from asking
        return bool(wandb.login(prompt=False, verify=False))
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    try:
        return host is not None and netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
