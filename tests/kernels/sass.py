# SPDX-License-Identifier: Apache-2.0
"""Machine code of compiled kernels: its loops, and from which functions its instructions come."""

import functools
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
_FUNCTION = re.compile(r"^\.text\.(\S+):$", re.MULTILINE)
_PLACE = re.compile(r'File "([^"]+)", line (\d+)')
_INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;?\s*$")
_TARGET = re.compile(r"\.L_x_\d+")
_DEFINITION = re.compile(r"^\s*(?:static )?(?:SCA_\w+(?:\([^)]*\))?\s.*?|def )(\w+)\(")


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        places: the line it comes from, and those into which that was inlined, innermost first.
        inlined: the same, functions between ``<``.
    """

    address: int
    text: str
    places: tuple[tuple[str, str], ...]
    inlined: str

    @property
    def opcode(self) -> str:
        """With modifiers, without predicate and operands."""
        words = self.text.split()
        return words[1] if words[0].startswith("@") else words[0]


@dataclass
class Loop:
    """Instructions between a label and the last branch back to it.

    Attributes:
        own: instructions outside of the loops inside.
        inner: those loops.
    """

    first: int
    last: int
    own: list[Instruction] = field(default_factory=list)
    inner: list["Loop"] = field(default_factory=list)

    def holds(self, address: int) -> bool:
        return self.first <= address <= self.last


def disassembled(nvdisasm: str, cubin: Path) -> dict[str, Loop]:
    """Mangled name -> code of every kernel, as a loop over all of it that is run once."""
    command = [nvdisasm, "--print-code", "--no-vliw", "--print-line-info-inline", str(cubin)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    parts = _FUNCTION.split(text)
    return {name: _nested(body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def _nested(body: str) -> Loop:
    code: list[Instruction] = []
    labels: dict[str, int] = {}
    waiting: list[str] = []
    chain: list[str] = []
    told = False
    for line in body.splitlines():
        if "//## File" in line:
            chain = [line] if told else [*chain, line]
            told = False
        elif found := _INSTRUCTION.match(line):
            address = int(found[1], 16)
            labels |= dict.fromkeys(waiting, address)
            waiting, told = [], True
            code.append(Instruction(address, found[2], *_places(tuple(chain))))
        elif line.startswith(".L_x_"):
            waiting.append(line.rstrip(":"))
    while code and code[-1].opcode in ("NOP", "BRA"):  # padding
        code.pop()
    return _tree(code, labels)


def _tree(code: list[Instruction], labels: dict[str, int]) -> Loop:
    ends: dict[int, int] = {}
    # What follows the last exit is what diverged warps do in a collective; it jumps back, too.
    exits = [one.address for one in code if one.opcode == "EXIT" and one.text == "EXIT"]
    end = max(exits, default=code[-1].address)
    for one in code:
        if one.opcode.startswith(("BRA", "BRX")) and one.address < end:
            for name in _TARGET.findall(one.text):
                target = labels.get(name, one.address + 1)
                if target <= one.address:
                    ends[target] = max(ends.get(target, 0), one.address)
    whole = Loop(0, code[-1].address)
    for first, last in sorted(ends.items(), key=lambda pair: (pair[0], -pair[1])):
        outer = whole
        while inside := next((loop for loop in outer.inner if loop.holds(first)), None):
            outer = inside
        outer.inner.append(Loop(first, min(last, outer.last)))
    for one in code:
        loop = whole
        while inside := next((inner for inner in loop.inner if inner.holds(one.address)), None):
            loop = inside
        loop.own.append(one)
    return whole


@functools.cache
def _places(chain: tuple[str, ...]) -> tuple[tuple[tuple[str, str], ...], str]:
    places = tuple(_PLACE.findall(line)[0] for line in chain)
    functions = (_function_at(file, int(line)) for file, line in places)
    return places, f"<{'<'.join(functions)}<"


@functools.cache
def _function_at(file: str, line: int) -> str:
    """The function that a line of a source file belongs to."""
    path = Path(file)
    # Triton keeps what it compiled, whichever checkout that was in; its key holds the line.
    ours = KERNELS / path.parent.name / path.name
    path = ours if ours.is_file() else path
    text = path.read_text().splitlines()[:line] if path.is_file() else []
    return next((m[1] for m in map(_DEFINITION.match, reversed(text)) if m), "?")
