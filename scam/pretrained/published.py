# SPDX-License-Identifier: Apache-2.0
"""Weights that others published: what their files are called, where they are, what they hold."""

from dataclasses import dataclass
from pathlib import Path

VGG19 = "vgg19-dcbb9e9d.pth"
LPIPS_TRUNKS = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}
"""torchvision's ImageNet weights, by the names that its own downloads carry."""
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
"""torch-fidelity's file, by the name its own download carries."""
DINOV2 = "dinov2_vitl14_pretrain.pth"
PERSON = "lup_moco_r50.pth"
"""LUPerson's file."""
DINOV2_CODE = "https://github.com/facebookresearch/dinov2"
"""The network of ``DINOV2``, which no package brings."""


@dataclass(frozen=True)
class Published:
    """One file.

    used: by which settings of which commands. sha256: its hexadecimal digits, or the first eight
    where no more are known, as torchvision's file names have them; "": none are known.
    """

    name: str
    network: str
    used: str
    url: str
    sha256: str = ""

    @property
    def source(self) -> str:
        """Name, address and digest in one line."""
        digest = f"SHA-256 {self.sha256}" if self.sha256 else "no SHA-256 published"
        return f"{self.name}: {self.url} ({digest}{'...' if len(self.sha256) == 8 else ''})"

    def mismatch(self, path: Path, digest: str) -> str | None:
        """What differs where the file at ``path`` has another ``digest``; None: nothing known."""
        if digest.startswith(self.sha256):
            return None
        known = self.sha256[:8]
        return (
            f"{path}: its SHA-256 begins with {digest[:8]}, that of the published file with "
            f"{known}: damaged or another network, numbers are not comparable ({self.url})"
        )


_TORCHVISION = "https://download.pytorch.org/models/"
PUBLISHED = {
    file.name: file
    for file in (
        Published(
            LPIPS_TRUNKS["alex"],
            "AlexNet",
            "lpips",
            _TORCHVISION + LPIPS_TRUNKS["alex"],
            "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        ),
        Published(
            LPIPS_TRUNKS["vgg"],
            "VGG-16",
            "lpips with --lpips-trunk vgg; scam.train --perceptual lpips",
            _TORCHVISION + LPIPS_TRUNKS["vgg"],
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        ),
        Published(
            INCEPTION,
            "Inception-v3",
            "fid, kid; sifid of scam.semia evaluate",
            f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION}",
            "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        ),
        Published(
            DINOV2,
            "DINOv2 ViT-L/14",
            "fd",
            f"https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/{DINOV2}",
            "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
        ),
        Published(
            PERSON,
            "ResNet-50, LUPerson",
            "reid",
            "https://drive.google.com/file/d/1pFyAdt9BOZCtzaLiE-W3CsX_kgWABKK6/view",
        ),
        Published(
            VGG19,
            "VGG-19",
            "scam.train --perceptual vgg19",
            _TORCHVISION + VGG19,
            "dcbb9e9d",
        ),
    )
}
"""By name."""
