# SPDX-License-Identifier: Apache-2.0
"""The whole model: encode pictures, generate them, transfer subjects between them."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from scam.errors import InputError
from scam.models.hub import HubModel
from scam.models.inputs import (
    checked_choice,
    checked_image,
    checked_labels,
    checked_latents,
    checked_numbers,
    checked_pair,
    checked_pyramid,
    expect_equal_batch,
    expect_noise,
)
from scam.models.noise import Noise, draw_noise
from scam.models.scam.config import ModelConfig
from scam.models.scam.encoder import SatEncoder
from scam.models.scam.generator import ScamGenerator
from scam.models.styles import Latents, select_tokens
from scam.nn.attention import SemanticCrossAttention
from scam.nn.pyramid import LabelPyramid, grouped, pyramid_sizes
from scam.ops import Labels

ImageAndLabels = tuple[Tensor, Tensor]
"""An image (B, 3, H, W) or (3, H, W) in [-1, 1] and its label map (B, H, W) or (H, W)."""
Absent = Literal["background", "mean", "error"]


class Scam(HubModel):
    """SAT-Encoder and SCAM-Generator with one label order and one size.

    ``fused`` chooses between the fused attention and the dense one of the paper; parameters,
    random draws and state dict are the same (see :meth:`fuse`).
    """

    token_labels: Tensor
    mean_tokens: Tensor
    mean_known: Tensor

    def __init__(self, config: ModelConfig, *, fused: bool = True) -> None:
        super().__init__()
        self.config = config
        self.about = {}
        self.fused = fused
        self.compiled = False
        self.encoder = SatEncoder(config, fused=fused)
        self.generator = ScamGenerator(config, fused=fused)
        labels = torch.tensor(config.token_labels())
        self.register_buffer("token_labels", labels, persistent=False)
        # Each label's tokens averaged over the training pictures that hold it.
        self.register_buffer("mean_tokens", torch.zeros(config.num_tokens, config.token_dim))
        self.register_buffer("mean_known", torch.zeros(config.num_labels, dtype=torch.bool))

    def fuse(self, fused: bool) -> "Scam":
        """Switch every attention between fused and dense; returns self."""
        self.fused = fused
        for module in self.modules():
            if isinstance(module, SemanticCrossAttention):
                module.fused = fused
        return self

    def use_gradient_checkpointing(self, on: bool = True) -> "Scam":
        """Keep less for the backward pass, and compute it twice; the same bits. Returns self."""
        self.encoder.gradient_checkpointing = on
        self.generator.gradient_checkpointing = on
        return self

    def compile_networks(self) -> "Scam":
        """Hand encoder and generator to ``torch.compile``; parameters keep their names.

        Returns self. Numbers differ by rounding. The first pass waits for the compiler, and again
        whenever a shape is new: in training mode the tokens of absent labels are computed too,
        since their number would change from batch to batch.
        """
        for network in (self.encoder, self.generator):
            network.compile(dynamic=False)
        self.compiled = True
        return self

    def pyramid(self, labels: Tensor, occurring: tuple[int, ...] | None = None) -> LabelPyramid:
        """Label maps (B, H, W) at the encoder's sizes, which the default generator shares.

        ``occurring``: the labels they may hold, where that is known; on a GPU it saves computing
        the tokens of the others. Values that are no label count as none.
        """
        labels = checked_labels(labels, self.config, self.encoder.tokens, values=False)
        levels = self.config.levels
        if self.config.released:
            sizes = pyramid_sizes(*self.config.size, levels)
            return LabelPyramid.nearest(labels, self.config.num_labels, sizes)
        return LabelPyramid.build(labels, self.config.num_labels, levels, occurring)

    def forward(
        self,
        image: Tensor,
        labels: Tensor | LabelPyramid,
        noise: Noise | None = None,
        kept: Tensor | None = None,
    ) -> Tensor:
        """Reconstruct image (B, 3, H, W) from its own latents under its own label map.

        Without ``noise`` none is added.
        labels: as in :meth:`encode`, or a pyramid of them that is already built. Labels that
        ``kept`` (B, L) bool does not keep are painted from latents of zero.
        """
        if isinstance(labels, LabelPyramid):
            pyramid = self._pyramid(labels, "labels")
        else:
            image, labels = self._image(image), self._labels(labels)
            expect_equal_batch(image, labels, ("image", "labels"))
            expect_noise(noise)
            pyramid = self.pyramid(labels)
        chosen = self._needed_tokens(pyramid)
        of = self._labels_of(chosen)
        groups = grouped(of, self.config.num_labels)
        tokens = self.encoder(image, pyramid, groups, chosen)
        if kept is not None:
            kept = checked_choice(kept, self.config.num_labels, tokens, "kept")
            tokens = torch.where(kept[:, of].unsqueeze(-1), tokens, 0)
        return self._generate(pyramid, tokens, groups, chosen, noise)

    def paint(self, pyramid: LabelPyramid, latents: Latents, noise: Noise | None = None) -> Tensor:
        """Image (B, 3, H, W) in [-1, 1] from a pyramid that is already built.

        Without ``noise`` none is added.
        """
        pyramid = self._pyramid(pyramid, "pyramid")
        checked_latents(latents, self.config, self.encoder.tokens, len(pyramid.present))
        expect_noise(noise)
        chosen = self._needed_tokens(pyramid)
        tokens = latents.tokens if chosen is None else latents.tokens[:, chosen]
        groups = grouped(self._labels_of(chosen), self.config.num_labels)
        return self._generate(pyramid, tokens, groups, chosen, noise)

    def _needed_tokens(self, pyramid: LabelPyramid) -> Tensor | None:
        """Numbers of the tokens that some pixel reads; None: all, or not known.

        Joint norms couple the labels, and the dense way computes what the paper does.
        """
        occurring = pyramid.occurring
        if not self.fused or self.config.released or occurring is None:
            return None
        if self.compiled and self.training:
            return None
        if len(occurring) in (0, self.config.num_labels):
            return None
        read = torch.tensor(
            [label in occurring for label in self.config.token_labels()], device="cpu"
        )
        return read.nonzero().flatten().to(pyramid.present.device, non_blocking=True)

    def _labels_of(self, chosen: Tensor | None) -> Tensor:
        """Labels of the tokens that are computed, all or those ``chosen``: (m',)."""
        return self.token_labels if chosen is None else self.token_labels[chosen]

    def _generate(
        self,
        pyramid: LabelPyramid,
        tokens: Tensor,
        groups: Labels,
        chosen: Tensor | None,
        noise: Noise | None,
    ) -> Tensor:
        if self.config.released:
            sizes = released_generator_sizes(*self.config.size, self.config.levels)
            labels = pyramid.maps[0]
            pyramid = LabelPyramid.nearest(labels, self.config.num_labels, sizes)
        fields = None
        if noise is not None:
            sizes = self.generator.noise_sizes(pyramid)
            fields = draw_noise(noise, len(tokens), sizes, tokens.device)
        return self.generator(pyramid, tokens, groups, fields, chosen)

    def encode(self, image: Tensor, labels: Tensor) -> Latents:
        """Latents of image (B, 3, H, W) or (3, H, W) in [-1, 1] under labels (B, H, W) or (H, W).

        Raises ValueError when a size differs from ``config.size``.
        """
        return self._encode(image, labels, ("image", "labels"))

    def _encode(self, image: Tensor, labels: Tensor, names: tuple[str, str]) -> Latents:
        image, labels = self._image(image, names[0]), self._labels(labels, names[1])
        expect_equal_batch(image, labels, names)
        pyramid = self.pyramid(labels)
        groups = grouped(self.token_labels, self.config.num_labels)
        return Latents(self.encoder(image, pyramid, groups), pyramid.present)

    def fixed_noise(self, seed: int = 0) -> torch.Generator | None:
        """Noise with which :meth:`generate` paints the same each time, by any networks."""
        if not self.config.released:
            return None
        return torch.Generator(self.token_labels.device).manual_seed(seed)

    def generate(self, labels: Tensor, latents: Latents, noise: Noise | None = None) -> Tensor:
        """Image (B, 3, H, W) in [-1, 1] painted from labels (B, H, W) or (H, W) and latents.

        Without ``noise`` the default networks paint without any; the released ones then draw it
        from torch's global stream, as published, unlike :meth:`forward` and :meth:`paint`. Give
        them :meth:`fixed_noise` to paint the same each time.
        """
        labels = self._labels(labels)
        if noise is None and self.config.released:
            seed = int(torch.randint(2**63 - 1, ()))  # from torch's own stream: manual_seed counts
            noise = torch.Generator(labels.device).manual_seed(seed)
        return self.paint(self.pyramid(labels), latents, noise)

    def transfer(
        self,
        subject: ImageAndLabels,
        background: ImageAndLabels,
        *,
        labels: Tensor | None = None,
        background_labels: Sequence[int] = (0,),
        absent: Absent = "background",
    ) -> Tensor:
        """Paint the subject of one picture into the scene, and the pose, of another.

        Tokens of ``background_labels`` come from ``background``, all others from ``subject``.
        ``labels`` is the map to paint; by default the background picture's, whose pose the
        subject takes on. A label of that map which the subject's picture lacks follows ``absent``:
        the background picture's tokens, the mean tokens of training pictures, or an error; the
        mean also stands in for background labels that the background picture lacks.

        Returns (B, 3, H, W) in [-1, 1]. Raises InputError where ``absent`` cannot be followed.
        """
        subject = checked_pair(subject, "subject")
        background = checked_pair(background, "background")
        labels = background[1] if labels is None else labels
        labels = self._labels(labels, "labels")
        mixed = self.mix(
            self._encode(*subject, ("the subject's image", "the subject's labels")),
            self._encode(*background, ("the background's image", "the background's labels")),
            self.pyramid(labels).present,
            background_labels=background_labels,
            absent=absent,
        )
        return self.generate(labels, mixed)

    def mix(
        self,
        subject: Latents,
        background: Latents,
        wanted: Tensor,
        *,
        background_labels: Sequence[int] = (0,),
        absent: Absent = "background",
    ) -> Latents:
        """The latents of :meth:`transfer`; wanted (B, L) bool: the labels that will be painted."""
        if absent not in ("background", "mean", "error"):
            raise InputError(f"absent={absent!r}: expected background, mean or error")
        weight = self.encoder.tokens
        wanted = checked_choice(wanted, self.config.num_labels, weight, "wanted")
        scene = torch.zeros(self.config.num_labels, dtype=torch.bool, device=wanted.device)
        scene[checked_numbers(background_labels, self.config.num_labels, "background_labels")] = (
            True
        )
        batch = len(wanted)
        checked_latents(subject, self.config, weight, batch, "subject")
        checked_latents(background, self.config, weight, batch, "background")
        missing = wanted & ~scene & ~subject.present
        if absent == "error" and missing.any():
            raise InputError(f"the subject's picture lacks label {_numbers(missing)}")
        if absent == "mean":
            averaged = (missing | (wanted & scene & ~background.present)) & self.mean_known
            tokens = torch.where(
                averaged[:, self.token_labels, None], self.mean_tokens, background.tokens
            )
            background = Latents(tokens, background.present | averaged)
        unknown = (missing | (wanted & scene)) & ~background.present
        if unknown.any():
            also = " and the model's mean latents lack" if absent == "mean" else " lacks"
            hint = "" if absent == "mean" else ", or absent='mean'"
            raise InputError(
                f"the background picture{also} label {_numbers(unknown)}, which the map wants: "
                f"expected another map{hint}"
            )
        return select_tokens(subject, background, ~scene & ~missing, self.token_labels)

    def _image(self, image: Tensor, name: str = "image") -> Tensor:
        return checked_image(image, self.config, self.encoder.tokens, name)

    def _pyramid(self, pyramid: LabelPyramid, name: str) -> LabelPyramid:
        sizes = pyramid_sizes(*self.config.size, self.config.levels)
        return checked_pyramid(pyramid, sizes, self.config.num_labels, self.encoder.tokens, name)

    def _labels(self, labels: Tensor, name: str = "labels") -> Tensor:
        return checked_labels(labels, self.config, self.encoder.tokens, name)


def released_generator_sizes(height: int, width: int, levels: int) -> list[tuple[int, int]]:
    """Sizes of the released generator, finest first: doublings of a start at ``side >> levels``.

    Landscape pictures keep their aspect here; the released code inverted it by mistake.
    """
    if width < height:
        w0 = width >> levels
        h0 = round(w0 * height / width)
    else:
        h0 = height >> levels
        w0 = round(h0 * width / height)
    doublings = [(h0 << i, w0 << i) for i in range(levels)]
    return [(height, width), *reversed(doublings)]


def _numbers(labels: Tensor) -> str:
    return ", ".join(str(i) for i in labels.any(0).nonzero().flatten().tolist())
