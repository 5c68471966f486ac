# SPDX-License-Identifier: Apache-2.0
"""A small U-Net that removes noise, and knows from a label map what each pixel should look like.

``python examples/label_unet.py`` trains it on drawn mannequins in less than a minute on a CPU and
prints the loss as it falls. At every size of the network, pixels read eight learned tokens of
their own label by ``scam.ops.semantic_cross_attention``.
"""

import argparse

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.data import Mannequins, PairDataset, batches
from scam.ops import SemanticLayout, semantic_cross_attention

SIZE = (48, 32)  # height, width
NOISE = 1.0  # standard deviation; images are in [-1, 1]
TOKENS = 8  # per label


class ReadLabelTokens(nn.Module):
    """x (B, C, H, W) plus what each pixel reads from the tokens of its label."""

    def __init__(self, channels: int, labels: int, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(1, channels)
        shape = (heads, labels * TOKENS, channels // heads)
        self.keys, self.values = nn.Parameter(torch.randn(shape)), nn.Parameter(torch.randn(shape))
        self.out = nn.Conv2d(channels, channels, 1)
        self.register_buffer("token_labels", torch.arange(labels).repeat_interleave(TOKENS))

    def forward(self, x: Tensor, layout: SemanticLayout) -> Tensor:
        batch, _, height, width = x.shape
        # (B, heads, H * W, C / heads): a view, since operators take any strides.
        query = self.norm(x).unflatten(1, (self.heads, -1)).flatten(3).transpose(2, 3)
        keys, values = (tokens.expand(batch, -1, -1, -1) for tokens in (self.keys, self.values))
        read = semantic_cross_attention(query, keys, values, layout, self.token_labels)
        return x + self.out(read.transpose(2, 3).flatten(1, 2).unflatten(2, (height, width)))


class Block(nn.Module):
    """A convolution, then tokens."""

    def __init__(self, inputs: int, channels: int, labels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, 3, padding=1)
        self.read = ReadLabelTokens(channels, labels)

    def forward(self, x: Tensor, layout: SemanticLayout) -> Tensor:
        return F.silu(self.read(F.silu(self.conv(x)), layout))


class LabelUNet(nn.Module):
    """Noisy image (B, 3, H, W) and label map (B, H, W) -> image; H and W divisible by 4."""

    def __init__(self, labels: int, width: int = 24) -> None:
        super().__init__()
        self.labels = labels
        self.down = nn.ModuleList([Block(3, width, labels), Block(width, 2 * width, labels)])
        self.middle = Block(2 * width, 2 * width, labels)
        self.up = nn.ModuleList([Block(4 * width, width, labels), Block(2 * width, width, labels)])
        self.to_rgb = nn.Conv2d(width, 3, 1)

    def forward(self, noisy: Tensor, labels: Tensor) -> Tensor:
        # One layout per size, sorted once: both blocks of that size read it.
        layouts = [
            SemanticLayout.build(labels[:, ::step, ::step], self.labels) for step in (1, 2, 4)
        ]
        x, skips = noisy, []
        for block, layout in zip(self.down, layouts, strict=False):
            skips.append(block(x, layout))
            x = F.avg_pool2d(skips[-1], 2)
        x = self.middle(x, layouts[2])
        for block, layout in zip(self.up, layouts[1::-1], strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2), skips.pop()], 1), layout)
        return noisy + self.to_rgb(x)


def train(steps: int) -> tuple[LabelUNet, list[float]]:
    """A trained network, and its losses, each the mean of a tenth of the steps."""
    torch.manual_seed(0)
    pictures = PairDataset(Mannequins("train", 256), SIZE, flip=True)
    net = LabelUNet(len(pictures.source.label_set))
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    losses, recent = [], []
    for step, batch in zip(range(1, steps + 1), batches(pictures, 8, seed=0), strict=False):
        noisy = batch["image"] + NOISE * torch.randn_like(batch["image"])
        loss = F.mse_loss(net(noisy, batch["labels"]), batch["image"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        recent.append(loss.item())
        if step % max(1, steps // 10) == 0:
            losses.append(sum(recent) / len(recent))
            recent.clear()
            print(f"step {step:4}: loss {losses[-1]:.4f}", flush=True)
    return net, losses


@torch.no_grad()
def measure(net: LabelUNet) -> None:
    """Error on images that were not trained on, under their own label maps and each other's."""
    held_out = PairDataset(Mannequins("val", 16), SIZE)
    images, labels = (torch.stack(x) for x in zip(*map(held_out.pair, range(16)), strict=True))
    noisy = images + NOISE * torch.randn_like(images)
    for what, map_ in {"its own label map": labels, "another's": labels.roll(1, 0)}.items():
        print(f"held out, with {what}: {F.mse_loss(net(noisy, map_), images):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    measure(train(parser.parse_args().steps)[0])
