# SPDX-License-Identifier: Apache-2.0
"""How many instructions a warp of a kernel issues, from its machine code.

An estimate from static counts: a loop's own instructions times its trips, and what is in no loop
once, both sides of a branch included. A loop is known by an instruction that it is there for: an
opcode that comes from a function of ours (``trips``). Unrolled n times, it holds n of them and
makes 1 / n of the trips. Remains of unrolled loops, and loops that ``trips`` does not know, count
once. Code that the headline problems do not run (``RARE``) does not count: for labels of more than
8 tokens, pixels without any, maps without a position, latents that read.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from sass import Instruction, Loop


@dataclass(frozen=True)
class Sizes:
    """What the numbers of trips depend on.

    Attributes:
        channels: of the map.
        pixels: of a block's tile.
        warps: of a block.
        rounds: tiles that a block works on, on average.
        parts: partial rows of a token, on average.
        share: of a block's warps that have pixels of the tile.
        reads: of 16 bytes, by a thread that reads nothing else.
    """

    channels: int
    pixels: int
    warps: int
    rounds: float
    parts: float
    share: float = 1.0
    reads: float = 1.0


def trips(sizes: Sizes) -> list[tuple[str, str, int, float]]:
    """Opcode, what functions it comes from, how many of them in one trip (0: any), trips."""
    blocks = sizes.channels / 16
    copies = blocks * sizes.pixels / 16 / sizes.warps  # of 16 bytes, by each thread
    pixels = sizes.pixels / 16
    parts = sizes.parts
    return [
        ("LDGSTS", "<fill<", 1, copies),
        ("LDGSTS", "<fill_whole<fill_stage<", 3, copies),  # of x, of grad_y, of the position
        ("LDGSTS", "<fill_whole<modulate<", 2, copies),
        ("STS", "<copy_masked<", 1, copies),
        ("STG", "^<drain<", 1, copies),
        ("STG", "^<drain_masked<", 8, copies),
        ("HMMA", "<multiply_rows<", 1, blocks),
        ("HMMA", "<multiply_both<", 2, blocks),
        ("HMMA", "<weight_gradients<", 2, blocks),
        ("STS", "<next<", 4, blocks),
        ("HMMA", "<mix<look_at_unit<", 4, blocks),
        ("BAR", "<sync_block<for_each_tile<", 0, sizes.rounds),
        ("HMMA", "<add<pass<", 8, pixels),
        ("HMMA", "<add<sum<", 12, pixels),
        ("STG", "^<copy_row<", 1, max(1.0, sizes.channels / 128)),
        ("", "<origin<pack_tokens<", 0, 3),  # roles
        ("LDG", "<combine_gradients<", 1, parts),
        ("LDG", "<combine_tokens<", 1, parts),
        ("LDG", "<moments_channels_first<", 1, sizes.reads),
        ("STG", "<subtract_means<", 1, sizes.reads),
        # Triton
        ("BAR", "<_sweep", 0, sizes.rounds),
        ("LDG", "<load_rows<measure<", 0, 16),
        ("LDG", "<load_rows<add_pieces<", 0, max(1.0, parts / 16)),
        ("LDG", "<add_tokens<", 0, max(1.0, parts / 16)),
    ]


RARE = (
    "<multiply_rows<score<attend_to_unit<modulate_unit<",
    "<multiply_rows<score<attend_to_unit<look_at_unit<look<sum<",
    "<read_all<", "<read_nothing<", "<look_at_all<", "<scatter_all<", "<scatter_zeros<",
    "<dot_of<", "<modulate_all<", "<look_at_any<", "<input_gradient_of_all<",
    "<_mix_nothing<", "<_sweep_unseeing<",
)  # fmt: skip
SOME_WARPS = ("<look<sum<", "<input_gradient_of_unit<", "<look<pass<", "<scatter_unit<pass<")
"""Code of warps that have pixels of the tile, where others may have none."""
ONE_WARP = ("<choose_slots<",)


def issued(code: Loop, sizes: Sizes, of: str = "") -> float:
    """Instructions that a warp issues, on average over the warps of blocks with work.

    ``of``: those alone whose opcode begins so.
    """
    made: dict[int, float] = {}
    for opcode, functions, each, times in trips(sizes):
        counts = _bodies(code, opcode, functions, by_place=bool(each))
        for loop, count in counts.items():
            of_loop = times if count <= each or not each else float(times * each // count)
            made[loop] = max(made.get(loop, 0.0), of_loop)
    return _count(code, sizes, made, of)


def _bodies(code: Loop, opcode: str, functions: str, *, by_place: bool) -> dict[int, int]:
    """Loops, by id, and how many such instructions they hold: the most from any one place.

    Loops around them and loops with fewer from the same place are what unrolling leaves.
    """
    found: dict[object, dict[int, int]] = defaultdict(dict)
    outside: dict[object, set[int]] = defaultdict(set)

    def look(loop: Loop, around: tuple[Loop, ...]) -> None:
        for one in loop.own:
            if around and one.opcode.startswith(opcode) and re.search(functions, one.inlined):
                place = one.places if by_place else None
                found[place][id(loop)] = found[place].get(id(loop), 0) + 1
                outside[place] |= set(map(id, around))
        for inner in loop.inner:
            look(inner, (*around, loop))

    look(code, ())
    counts: Counter[int] = Counter()
    for place, loops in found.items():
        leaves = {loop: count for loop, count in loops.items() if loop not in outside[place]}
        for loop, count in leaves.items():
            if count == max(leaves.values()):
                counts[loop] += count
    return counts


def _count(loop: Loop, sizes: Sizes, made: dict[int, float], of: str) -> float:
    own = sum(_weight(one, sizes) for one in loop.own if one.opcode.startswith(of))
    return own + sum(
        made.get(id(inner), 1.0) * _count(inner, sizes, made, of)
        for inner in loop.inner
        if not _is_rare(inner)
    )


def _is_rare(loop: Loop) -> bool:
    """Whether most of it is, and no loop inside is not; the rest is what compilers moved there."""
    whole = list(_all(loop))
    rare = sum(_comes_from(one, RARE) for one in whole)
    return 2 * rare > len(whole) and all(map(_is_rare, loop.inner))


def _all(loop: Loop) -> Iterator[Instruction]:
    yield from loop.own
    for inner in loop.inner:
        yield from _all(inner)


def _comes_from(one: Instruction, functions: tuple[str, ...]) -> bool:
    return any(function in one.inlined for function in functions)


def _weight(one: Instruction, sizes: Sizes) -> float:
    if _comes_from(one, RARE):
        return 0.0
    if _comes_from(one, ONE_WARP):
        return 1 / sizes.warps
    return sizes.share if _comes_from(one, SOME_WARPS) else 1.0
