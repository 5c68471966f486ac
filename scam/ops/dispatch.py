# SPDX-License-Identifier: Apache-2.0
"""Which implementation serves a call.

To add one: write ``scam/ops/backends/<name>.py`` with ``name``, ``refusals``, ``forward`` and
``backward`` (see :class:`scam.ops.backends.Backend`) and put its name in ``ORDER``.
"""

import contextlib
import importlib
import threading
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, cast

from scam.ops.backends import OPTIONAL, Backend
from scam.ops.constant import constant_when_compiled
from scam.ops.preference import ordered
from scam.ops.problem import Problem

REFERENCE = "reference"
ORDER: tuple[str, ...] = ("triton", "cuda", "cpu", REFERENCE)


class _Forced(threading.local):
    def __init__(self) -> None:  # torch 2.10 would compile a class's default in
        self.backend: str | None = None


# Not a ContextVar, which torch.compile cannot read with torch 2.10.
_forced = _Forced()
_warned: set[str] = set()


def backend_names() -> tuple[str, ...]:
    """The names ``backend=`` accepts, in order of preference."""
    return ORDER


@cache
def load(name: str) -> Backend:
    """The module of a compiled backend; importing it is left until it is wanted."""
    return cast(Backend, importlib.import_module(f"scam.ops.backends.{name}"))


@cache
def _refusals(name: str, problem: Problem) -> tuple[str, ...]:
    if name == REFERENCE:
        return ()
    try:
        backend = load(name)
    except ImportError as error:
        return (f"cannot be imported: {error}",)
    if problem.op in OPTIONAL and not hasattr(backend, OPTIONAL[problem.op]):
        return (f"has no {problem.op}",)
    return tuple(backend.refusals(problem))


def refusals(name: str, problem: Problem) -> list[str]:
    """Why a backend cannot serve a problem; [] when it can. Cached for the process."""
    return list(_refusals(name, problem))


def serving(name: str, problem: Problem) -> Backend:
    """The backend an operator call names, checked again: its graph may be of another machine.

    Raises:
        ValueError: it is unknown or refuses here.
    """
    _require(name, problem)
    if name == REFERENCE:
        raise ValueError(f"backend 'reference' is not an operator: call {problem.op}")
    return load(name)


def describe(name: str) -> str:
    """A few words on a backend that works: what its optional ``describe()`` says, else "yes"."""
    words = None if name == REFERENCE else getattr(load(name), "describe", None)
    return words() if words else "yes"


def explain_problem(problem: Problem, backend: str | None = None) -> dict[str, list[str]]:
    """Each backend's refusals, in order of preference, whichever ``backend`` the call forces.

    Raises:
        ValueError: ``backend`` is unknown.
    """
    if backend is not None:
        _expect_known(backend)
    return {name: refusals(name, problem) for name in ORDER}


def choose(problem: Problem, backend: str | None = None) -> str:
    """Name the backend that serves a problem.

    ``backend``, else the innermost :func:`use_backend`, forces one; else the first in order that
    does not refuse, on a GPU the preferred one before all (:mod:`scam.ops.preference`). Ending at
    the reference is said once per process and reason.

    Raises:
        ValueError: the forced backend is unknown or refuses.
    """
    wanted = forced() if backend is None else backend
    facts = (problem.device_type, problem.dtype, problem.shared_value, problem.empty, problem.op)
    properties = problem.aligned, problem.width_limit
    return _choose(wanted, *facts, *properties, problem.capability, problem.gpu)


@constant_when_compiled
def _choose(wanted: str | None, *facts: Any) -> str:
    problem = Problem(*facts)
    if wanted is not None:
        _require(wanted, problem)
        return wanted
    names: Sequence[str] = ordered(ORDER, problem)
    name = next((name for name in names if not _refusals(name, problem)), None)
    if name is None or name == REFERENCE:
        on_cpu = problem.device_type == "cpu"
        names = sorted(names, key=lambda name: (name == "cpu") != on_cpu)  # helpful advice first
        found = {other: refusals(other, problem) for other in names if other != REFERENCE}
        reasons = "; ".join(f"backend {other!r}: {', '.join(why)}" for other, why in found.items())
        if name is None:
            raise ValueError(f"no backend serves this call: {reasons}")
        _warn_once(f"{problem.op} runs dense and slow: {reasons}")
    return name


def _expect_known(name: str) -> None:
    if name not in ORDER:
        raise ValueError(f"backend: expected one of {', '.join(ORDER)}, got {name!r}")


def _require(name: str, problem: Problem) -> None:
    _expect_known(name)
    why = refusals(name, problem)
    if why:
        served = [other for other in ORDER if not refusals(other, problem)]
        raise ValueError(
            f"backend {name!r} cannot serve this call: {', '.join(why)}; "
            f"would serve: {', '.join(served) or 'none'}"
        )


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, RuntimeWarning, stacklevel=5)


def forced() -> str | None:
    """The backend of the innermost :func:`use_backend` around this, if there is one."""
    return _forced.backend


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Force a backend for every call inside that does not name one itself, in this thread alone.

    Backward passes take the backend of their forward pass, whatever thread they run in.

    Raises:
        ValueError: the name is unknown.
    """
    _expect_known(name)
    before, _forced.backend = _forced.backend, name
    try:
        yield
    finally:
        _forced.backend = before
