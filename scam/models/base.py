# SPDX-License-Identifier: Apache-2.0
"""The interface of every kind of model to training, evaluation, editing and sharing."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor

from scam.data.fit import Frame
from scam.data.groups import Groups, groups_of
from scam.data.label_words import LabelWords, find_labels
from scam.data.open_picture import ImageAndLabels, LabelFile, Parse, Photograph, open_picture
from scam.errors import InputError, counted, leading, sized, type_of
from scam.models.config import ModelConfig
from scam.models.hub import HubModel
from scam.models.inputs import (
    ImageLike,
    LabelMapLike,
    checked_choice,
    checked_image,
    checked_labels,
    checked_occurring,
    checked_pair,
    checked_styles,
    expect_equal_batch,
    expect_noise,
)
from scam.models.mixing import Absent, mixed
from scam.models.noise import Noise
from scam.models.prepared_labels import LabelsLike, PlainLabels, PreparedLabels
from scam.models.refinement import frozen, refined
from scam.models.styles import Styles, of_tokens
from scam.models.views import Role, views_for
from scam.nn.pyramid import known_labels, present_labels


@dataclass(frozen=True)
class Reconstruction:
    """An image (B, 3, H, W) and the losses that the model adds: name to (weight, value)."""

    image: Tensor
    losses: dict[str, tuple[float, Tensor]] = field(default_factory=dict)


class SynthesisModel(HubModel, ABC):
    """Label maps and images in, styles in between, images out.

    A kind of model defines ``Config``, makes its networks after calling ``__init__``, and says
    how styles are read (:meth:`_encode`) and used (:meth:`_generate`). Callers ask what it can do
    by the attributes below, never which one it is.

    Attributes:
        styles_per_label: whether styles of single labels can be exchanged; else a style is of the
            whole image.
        draws_styles: whether :meth:`random_styles` draws styles without an image.
        checkpoints_gradients: whether :meth:`configure` can trade time for memory in training.
        needs_noise: whether :meth:`generate` draws noise unless it is given.
        channels_last_on_cpu: whether it is trained with channels-last weights there, which saves
            reordering the gradients of its convolutions.
        one_style_space: whether styles of different labels mean the same, so that one label can
            stand in for another.
        token_labels: (m,), the label of each token of a style, -1 for the whole image.
        mean_tokens, mean_known: each label's tokens (m, d) averaged over the training images that
            hold it, and which labels (L,) some image held.
    """

    styles_per_label: ClassVar[bool] = True
    draws_styles: ClassVar[bool] = False
    one_style_space: ClassVar[bool] = True
    checkpoints_gradients: ClassVar[bool] = True

    token_labels: Tensor
    mean_tokens: Tensor
    mean_known: Tensor

    def __init__(self, config: ModelConfig, token_labels: Sequence[int], token_dim: int) -> None:
        super().__init__()
        self.config = config
        self.about = {}
        self.compiled = False
        labels = torch.tensor(token_labels)
        self.register_buffer("token_labels", labels, persistent=False)
        self.register_buffer("mean_tokens", torch.zeros(len(labels), token_dim))
        self.register_buffer("mean_known", torch.zeros(config.num_labels, dtype=torch.bool))

    @property
    def needs_noise(self) -> bool:
        """See the class."""
        return False

    @property
    def channels_last_on_cpu(self) -> bool:
        """See the class."""
        return False

    @property
    def groups(self) -> Groups:
        """Groups of its labels, known by their names."""
        return groups_of(tuple(self.label_names))

    def labels_of(self, words: LabelWords) -> tuple[int, ...]:
        """The numbers of labels by what they are called: ``labels_of(["face", "clothes"])``.

        words: one or several names of labels, numbers or names of groups (:attr:`groups`), as
        every method and command takes them. Case, and whether words are joined by ``_``, ``-`` or
        spaces, do not matter where that is clear. InputError lists what there is.
        """
        return find_labels(words, tuple(self.label_names))

    def configure(
        self,
        *,
        fused: bool | None = None,
        gradient_checkpointing: bool | None = None,
        compiled: bool | None = None,
    ) -> Self:
        """Choose how to compute, not what; None keeps a setting. Returns self.

        Args:
            fused: the fused operators of ``scam.ops``, or the dense form of the paper.
            gradient_checkpointing: keep less for the backward pass and recompute it;
                identical results.
            compiled: hand the networks to ``torch.compile``; parameters keep their names and
                numbers differ by rounding. The first pass of every new shape
                waits for the compiler.
        """
        for module in self.modules():
            for name, value in (
                ("fused", fused), ("gradient_checkpointing", gradient_checkpointing),
            ):  # fmt: skip
                if value is not None and hasattr(module, name):
                    setattr(module, name, value)
        for network in self.children() if compiled is not None else ():
            if compiled:
                network.compile(dynamic=False)
            else:
                network._compiled_call_impl = None  # what compile sets; torch has no way back
        self.compiled = self.compiled if compiled is None else compiled
        return self

    def prepare(
        self,
        labels: LabelMapLike,
        occurring: tuple[int, ...] | None = None,
        *,
        values: bool = True,
    ) -> PreparedLabels:
        """Label maps (B, H, W) as the networks read them, for several calls of other methods.

        occurring: the labels they may hold, where that is known without waiting for a GPU.
        InputError for a label that the model does not have, or that is not among those; without
        ``values`` there is no such check, which waits for a GPU, and unknown labels count as none.
        """
        checked = checked_labels(labels, self.config, self.mean_tokens, values=values)
        if occurring is not None:
            occurring = checked_occurring(occurring, checked, self.config, values=values)
        return self._prepare(checked, occurring)

    def open_picture(
        self, image: Photograph, labels: LabelFile | Parse | None = None
    ) -> ImageAndLabels:
        """A photograph and its label map at the model's size, as other methods take them.

        image: a file, an image of PIL, an array uint8 RGB (H, W, 3), or a tensor uint8 (3, H, W).
        labels: what the label files hold that the model was trained on, as a file, an image of
        PIL or integers (H, W); or a function that makes such integers of the photograph, uint8
        RGB (H, W, 3). Left out, InputError says what is needed. Images of other proportions fit
        as they did in training. See :mod:`scam.data.open_picture`.

        Returns image (3, H, W) in [-1, 1] and int32 labels (H, W), on the model's device. Raises
        InputError for what cannot be read or used.
        """
        frame = Frame(self.config.size, self.about.get("fit", "squash"))
        found = open_picture(image, labels, frame, self.label_values)
        device = self.mean_tokens.device
        return ImageAndLabels(found.image.to(self.mean_tokens), found.labels.to(device))

    def encode(
        self,
        image: ImageLike,
        labels: LabelsLike,
        *,
        refine: int = 0,
        role: Role = "alone",
        progress: Callable[[float], None] | None = None,
    ) -> Styles:
        """Styles of an image in [-1, 1] under its label map, both of size ``config.size``.

        refine: steps that fit them to the image by gradient descent. role: what the fitted styles
        are for, see :data:`scam.models.views.Role`. progress: is told after each step the share
        that is done. Raises InputError for another size, for values outside [-1, 1], and for
        labels that the model does not have.
        """
        names = "image", "labels"
        return self._styles(image, labels, names, refine, role, progress)

    def generate(self, labels: LabelsLike, styles: Styles, noise: Noise | None = None) -> Tensor:
        """Image (B, 3, H, W) in [-1, 1] from label maps and styles, of as many images or of one.

        Without ``noise`` none is drawn, or where the model needs some (:attr:`needs_noise`) it
        comes from torch's global stream. Give :meth:`fixed_noise` to generate the same each time.
        """
        prepared = self._prepared(labels, "labels")
        checked_styles(styles, self, prepared.present.shape[0])
        expect_noise(noise)
        if noise is None and self.needs_noise:
            seed = int(torch.randint(2**63 - 1, ()))  # torch's own stream: manual_seed counts
            noise = torch.Generator(prepared.present.device).manual_seed(seed)
        tokens = styles.tokens
        if not torch.compiler.is_compiling():  # a traced graph may not depend on one batch
            tokens = tokens.expand(prepared.present.shape[0], *tokens.shape[1:])
        return self._generate(prepared, tokens, noise)

    def reconstruct(
        self,
        image: ImageLike,
        labels: LabelsLike,
        noise: Noise | None = None,
        kept: Tensor | None = None,
    ) -> Reconstruction:
        """image (B, 3, H, W) from its own styles under its own label map, as in training.

        noise: of whatever the model draws; None: nothing is drawn. Labels that ``kept`` (B, L)
        bool does not keep are generated from tokens of zero.
        """
        image, prepared = self._reconstructed(image, labels)
        expect_noise(noise)
        tokens, losses = self._training_tokens(image, prepared, noise)
        tokens = self._only(tokens, kept, self.token_labels)
        return Reconstruction(self._generate(prepared, tokens, noise), losses)

    def forward(
        self,
        image: ImageLike,
        labels: LabelsLike,
        noise: Noise | None = None,
        kept: Tensor | None = None,
    ) -> Tensor:
        """The image of :meth:`reconstruct`."""
        return self.reconstruct(image, labels, noise, kept).image

    def random_styles(self, labels: LabelsLike, generator: torch.Generator) -> Styles:
        """Styles for label maps (B, H, W), drawn without an image.

        Raises InputError where the model draws none: see :attr:`draws_styles`.
        """
        raise InputError(
            f"a model of kind {self.config.kind!r} draws no styles: expected those of an image"
        )

    def fixed_noise(self, seed: int = 0) -> torch.Generator | None:
        """Noise with which :meth:`generate` always makes the same image; None: it needs none."""
        if not self.needs_noise:
            return None
        return torch.Generator(self.mean_tokens.device).manual_seed(seed)

    def transfer(
        self,
        subject: tuple[ImageLike, LabelMapLike],
        background: tuple[ImageLike, LabelMapLike],
        *,
        labels: LabelsLike | None = None,
        background_labels: LabelWords = (0,),
        absent: Absent = "related",
        refine: int = 0,
    ) -> Tensor:
        """The subject of one image in the scene, and the pose, of another.

        Styles of ``background_labels`` (see :meth:`labels_of`) come from ``background``, all
        others from ``subject``. ``labels`` is the map to generate; by default the background
        image's, whose pose the subject takes on. A label of that map which the subject's image
        lacks follows ``absent``: "related", the style of the nearest label of its group
        (:attr:`groups`) that the image has, else the background image's; "background", the latter
        at once; "mean", the mean style of training images; or "error". Related labels and the
        mean also stand in for background labels that the background image lacks. ``refine``: see
        :meth:`encode`.

        Returns (B, 3, H, W) in [-1, 1]. Raises InputError where ``absent`` cannot be followed.
        """
        subject = checked_pair(subject, "subject")
        background = checked_pair(background, "background")
        prepared = self._prepared(background[1] if labels is None else labels, "labels")
        role: Role = "host" if labels is None else "donor"
        styles = self.mix(
            self._styles(*subject, _names("the subject"), refine, "donor"),
            self._styles(*background, _names("the background"), refine, role),
            prepared.present,
            background_labels=background_labels,
            absent=absent,
        )
        return self.generate(prepared, styles)

    def mix(
        self,
        subject: Styles,
        background: Styles,
        wanted: Tensor,
        *,
        background_labels: LabelWords = (0,),
        absent: Absent = "related",
    ) -> Styles:
        """The styles of :meth:`transfer`; wanted (B, L) bool: the labels to generate."""
        wanted = checked_choice(wanted, self.config.num_labels, self.mean_tokens, "wanted")
        checked_styles(subject, self, len(wanted), "subject")
        checked_styles(background, self, len(wanted), "background")
        with leading("background_labels"):
            scene = self.labels_of(background_labels)
        return mixed(self, subject, background, wanted, scene, absent)

    def _training_tokens(
        self, image: Tensor, labels: Any, noise: Noise | None
    ) -> tuple[Tensor, dict[str, tuple[float, Tensor]]]:
        """Tokens to reconstruct an image from, and the losses that come with them."""
        return self._encode(image, labels), {}

    def _prepare(self, labels: Tensor, occurring: tuple[int, ...] | None) -> Any:
        """What :meth:`prepare` returns of integers (B, H, W), some of which may be no label."""
        labels = known_labels(labels, self.config.num_labels)
        return PlainLabels(labels, present_labels(labels, self.config.num_labels))

    @abstractmethod
    def _encode(self, image: Tensor, labels: Any) -> Tensor:
        """Tokens (B, m, d) of image (B, 3, H, W) under what :meth:`prepare` returned."""

    @abstractmethod
    def _generate(self, labels: Any, tokens: Tensor, noise: Noise | None) -> Tensor:
        """Image (B, 3, H, W) from what :meth:`prepare` returned and tokens (B, m, d)."""

    def _styles(
        self,
        image: ImageLike,
        labels: LabelsLike,
        names: tuple[str, str],
        refine: int,
        role: Role,
        progress: Callable[[float], None] | None = None,
    ) -> Styles:
        image, prepared = self._image_and_labels(image, labels, names)
        styles = Styles(self._encode(image, prepared), prepared.present)
        views = views_for(
            role,
            image,
            prepared,
            styles,
            self.mean_tokens,
            self.token_labels,
            lambda maps: self._prepare(maps, None),
        )
        with frozen(self):
            return refined(
                styles,
                lambda maps, styles: self.generate(maps, styles, self.fixed_noise()),
                views,
                refine,
                progress,
            )

    def _only(self, tokens: Tensor, kept: Tensor | None, token_labels: Tensor) -> Tensor:
        """``tokens`` (B, m, d), zero where ``kept`` (B, L) does not keep their label."""
        if kept is None:
            return tokens
        kept = checked_choice(kept, self.config.num_labels, tokens, "kept")
        if not torch.compiler.is_compiling() and len(kept) not in (1, len(tokens)):
            raise InputError(f"kept is of {counted(len(kept), 'image')}: expected {len(tokens)}")
        return torch.where(of_tokens(kept, token_labels).unsqueeze(-1), tokens, 0)

    def _reconstructed(self, image: ImageLike, labels: LabelsLike) -> tuple[Tensor, Any]:
        # Callers that prepare labels first, as training does, do not wait for a GPU in every call.
        return self._image_and_labels(image, labels, values=not hasattr(labels, "present"))

    def _image_and_labels(
        self,
        image: ImageLike,
        labels: LabelsLike,
        names: tuple[str, str] = ("image", "labels"),
        *,
        values: bool = True,
    ) -> tuple[Tensor, Any]:
        image = checked_image(image, self.config, self.mean_tokens, names[0], values=values)
        prepared = self._prepared(labels, names[1])
        expect_equal_batch(image, prepared.present, names)
        return image, prepared

    def _prepared(self, labels: LabelsLike, name: str) -> Any:
        if isinstance(labels, Styles):
            raise InputError(
                f"{name} is {type_of(labels)}: expected label maps (B, H, W), or what prepare() "
                "makes of them (are label maps and styles swapped?)"
            )
        if not isinstance(labels, Tensor) and hasattr(labels, "present"):
            return self._checked(cast(PreparedLabels, labels), name)
        return self._prepare(checked_labels(labels, self.config, self.mean_tokens, name), None)

    def _checked(self, labels: PreparedLabels, name: str) -> PreparedLabels:
        """``labels`` if they were prepared for such a model, else InputError."""
        size = tuple(labels.labels.shape[1:])
        if size != self.config.size:
            found, wanted = sized(size, order=False), sized(self.config.size)
            raise InputError(f"{name}: prepared at {found}, expected {wanted}")
        checked_choice(labels.present, self.config.num_labels, self.mean_tokens, name)
        return labels


def _names(whose: str) -> tuple[str, str]:
    return f"{whose}'s image", f"{whose}'s labels"
