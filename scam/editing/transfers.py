# SPDX-License-Identifier: Apache-2.0
"""Edits of what was opened: of one image, with a sheet, or of folders, with a record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scam.data.arrays import LabelMap
from scam.data.fit import Frame
from scam.data.save_picture import write_picture
from scam.data.sheet import save_sheet
from scam.editing import batch
from scam.editing.batch import Plan, Source
from scam.editing.donors import Donor
from scam.editing.edit import Edited
from scam.editing.editor import Editor
from scam.editing.encoded import digest
from scam.editing.outcomes import summary
from scam.editing.overview import write_overview
from scam.editing.pictures import Picture, fitted, label_tensor, to_image
from scam.editing.sources import Finder, Folder, leading_words
from scam.editing.styles import Style, fingerprint
from scam.errors import InputError, counted, leading

SHEET_HEIGHT = 384
"""Pixels, the least height of images on a sheet unless a scale is given."""
_ALL_ALONE = Plan((), {})
_FREE = ("checkpoint", "out", "device", "sheet", "scale", "html", "overwrite")


@dataclass(frozen=True)
class Given:
    """Who is edited into what. ``others`` are the donors' images."""

    background: Picture | Folder
    subject: Source | None
    others: tuple[Source, ...]

    @property
    def folders(self) -> bool:
        """Whether one of them is a folder, so that there are many results."""
        every = (self.background, self.subject, *self.others)
        return any(isinstance(source, Folder) for source in every)

    def of(
        self, name: str, plan: Plan
    ) -> tuple[Picture, Picture | Style | None, list[Picture | Style]]:
        """Background, subject and donors' images of the result ``name``, loaded now."""
        with leading("background", self.background.name):
            scene = plan.background(self.background, name)
        whom: Picture | Style | None = None
        if self.subject is not None:
            with leading("subject", self.subject.name):
                whom = plan.other(self.subject, name)
        with leading("donor"):
            return scene, whom, [plan.other(other, name) for other in self.others]


def open_given(
    finder: Finder,
    subject: Sequence[str] | None,
    background: Sequence[str],
    donors: Sequence[Donor],
) -> Given:
    """Open what the words name, see :meth:`Finder.open`; folders too.

    A photograph is called by the first of the words that name it. InputError for what cannot be
    opened, a style as background, or an unused data set.
    """
    whom: Source | None = None
    if subject is not None:
        with leading_words("subject", subject):
            whom = finder.folder(subject) or finder.open(subject)
        if isinstance(whom, Picture):
            whom = replace(whom, name=subject[0])
    with leading_words("background", background):
        scene = finder.folder(background) or finder.picture(background)
    if isinstance(scene, Picture):
        scene = replace(scene, name=background[0])
    given = Given(scene, whom, tuple(_open_donor(finder, donor) for donor in donors))
    finder.expect_used()
    return given


def _open_donor(finder: Finder, donor: Donor) -> Source:
    words = [donor.picture]
    with leading("donor", donor.text):
        try:
            return finder.folder(words) or finder.open(words)
        except InputError as error:
            raise InputError(f"{error.message}{donor.doubt}", **error.mentions) from error


def edit_picture(
    editor: Editor,
    given: Given,
    out: Path,
    sheet: Path | None = None,
    *,
    scale: int | None = None,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Edit one image, write it to ``out`` and beside its sources to ``sheet``; what to note.

    scale: see :func:`scam.data.sheet.draw_sheet`.
    """
    background, subject, others = given.of(out.stem, _ALL_ALONE)
    edited = editor(background, subject, others)
    if sheet is not None:
        columns = _columns(editor, background, subject, others, edited)
        save_sheet(
            sheet,
            columns,
            scale=scale,
            min_height=SHEET_HEIGHT,
            overwrite=overwrite,
            label_names=editor.checkpoint.label_names,
        )
    write_picture(edited.pixels, out, overwrite=overwrite)
    return edited.notes


def _columns(
    editor: Editor,
    background: Picture,
    subject: Picture | Style | None,
    others: Sequence[Picture | Style],
    edited: Edited,
) -> dict[str, Tensor]:
    named: list[tuple[str, Picture | Style]] = []
    if subject is not None:
        named.append(("subject", subject))
    for number, (donor, other) in enumerate(zip(editor.donors, others, strict=True), start=1):
        named.append((f"{number}: {donor.text.partition('=')[0]}", other))
    steps = editor.settings.steps
    caption = "transfer" if steps is None else f"step {steps} of {steps}"
    return sheet_columns(
        [*named, ("background", background)],
        editor.pose_of(background, subject),
        editor.checkpoint.frame,
        (caption, edited),
    )


def sheet_columns(
    sources: Sequence[tuple[str, Picture | Style]],
    pose: LabelMap,
    frame: Frame,
    result: tuple[str, Edited],
) -> dict[str, Tensor]:
    """Captioned columns of a sheet, at the size of the result: sources, labels, result.

    Photographs of another shape stand on white. Styles without a thumbnail are left out.
    """
    caption, edited = result
    size = edited.last.shape[0], edited.last.shape[1]
    columns: dict[str, Tensor] = {}
    for name, source in sources:
        if isinstance(source, Picture):
            columns[name] = to_image(fitted(source.photo, size))
        elif (thumbnail := source.thumbnail(size)) is not None:
            columns[name] = to_image(thumbnail)
    seen = frame if size == frame.size else Frame(size)
    columns["labels"] = label_tensor(pose, seen, torch.device("cpu"))
    columns[caption] = to_image(edited.last)
    return columns


def edit_folder(
    editor: Editor,
    given: Given,
    out: Path,
    pairs: Path | None,
    settings: Mapping[str, Any],
    *,
    page: bool = False,
) -> tuple[int, int, list[str]]:
    """Edit every image of the folders that is not in ``out`` yet.

    settings: by name, those that must be equal for ``out`` to be resumed. page: write
    ``out/index.html`` too, see :mod:`scam.editing.overview`. Returns how many were written, how
    many there are now, and a :func:`summary` of those written.
    """
    others = given.others if given.subject is None else (given.subject, *given.others)
    plan = batch.make_plan(given.background, others, pairs)
    with batch.opened(out, _record(settings, editor, given, plan)):
        edits = batch.run(out, plan.names, lambda name: editor(*given.of(name, plan)))
    if page:
        shown = [] if given.subject is None else [("subject", given.subject)]
        shown += zip((donor.text for donor in editor.donors), given.others, strict=True)
        size = editor.checkpoint.model.config.size
        title = f"{counted(len(plan.names), 'transfer')}: {out.name}"
        write_overview(out, title, plan, given.background, shown, size)
    return len(edits), len(plan.names), summary(edits)


def _record(
    settings: Mapping[str, Any], editor: Editor, given: Given, plan: Plan
) -> dict[str, Any]:
    """What must be equal for a folder of results to be resumed.

    Images in folders are known by their names, other inputs by their contents.
    """
    record: dict[str, Any] = {"model": fingerprint(editor.checkpoint.model)}
    for name, value in settings.items():
        if name not in _FREE and (name, value) != ("refine", 0):  # folders of before lack it
            record[name] = str(value) if isinstance(value, Path) else value
    read = {
        "--background": given.background,
        "--subject": given.subject,
        "--pose-labels": editor.given_pose,
    }
    for donor, other in zip(editor.donors, given.others, strict=True):
        read[f"--donor {donor.text}"] = other
    for flag, content in read.items():
        if not isinstance(content, Folder | None):
            record[f"content of {flag}"] = digest(content)
    if settings["pairs"] is not None:
        record["content of --pairs"] = plan.digest
    return record
