# SPDX-License-Identifier: Apache-2.0
import itertools
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from scam.ops import use_backend
from scam.semia.generator import Generator, GeneratorConfig
from scam.semia.patches import Collage
from scam.semia.translation import LabelEncoder, Translation, translate
from scam.semia.transport import Transport

COUNT = 3
SIZES = [(16, 24), (21, 17), (16, 33)]


def network(*, trained: bool = True, **config: bool) -> Generator:
    """With weights that are nowhere zero, as after training."""
    made = Generator(GeneratorConfig(num_labels=COUNT, width=4, **config))
    if trained:
        generator = torch.Generator().manual_seed(5)
        for parameter in made.parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.data.copy_(drawn / max(1, parameter[0].numel()) ** 0.5)
    return made


def picture(size: tuple[int, int], seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 3, *size, generator=generator) * 2 - 1
    return image, torch.randint(COUNT, (1, *size), generator=generator)


def collage(image: Tensor, size: tuple[int, int]) -> Collage:
    """Pixels of the image, anywhere."""
    generator = torch.Generator().manual_seed(7)
    pixels = image[0].flatten(1)
    places = torch.randint(pixels.shape[1], size, generator=generator)
    return Collage(pixels[:, places], places)


class TestTranslation:
    def test_equal_label_maps_are_the_identity(self) -> None:
        """To the bit, whatever was learned."""
        made, (image, labels) = network(start=False), picture((13, 18))
        for training in (True, False):
            found = made.train(training)(image, labels, labels)
            assert len(found.scales) == len(found.shifts) == 4
            for scale, shift in zip(found.scales, found.shifts, strict=True):
                assert torch.equal(scale, torch.ones_like(scale))
                assert torch.equal(shift, torch.zeros_like(shift))

    def test_also_beside_a_collage_of_pixels_where_they_were(self) -> None:
        made, (image, labels) = network(), picture((13, 18))
        places = torch.arange(13 * 18).view(13, 18)
        found = made(image, labels, labels, Collage(image[0], places))
        assert all((scale == 1).all() for scale in found.scales)
        assert all((shift == 0).all() for shift in found.shifts)

    def test_it_is_bounded(self) -> None:
        """Also where features before are about zero, or of the other sign."""
        translation = Translation(4)
        for parameter in translation.parameters():
            torch.nn.init.normal_(parameter, std=9)
        before = torch.cat([torch.zeros(1, 4, 2, 5), torch.randn(1, 4, 2, 5) * 1e-9])
        scale, shift = translation(before, torch.randn(2, 4, 2, 5) * 1e3)
        assert scale.isfinite().all()
        assert scale.amin() >= 0
        assert scale.amax() <= 2
        assert shift.abs().amax() <= 2

    def test_scale_and_shift_have_parameters_of_their_own(self) -> None:
        translation = Translation(4)
        torch.nn.init.normal_(translation.scale[-1].weight)
        scale, shift = translation(torch.randn(1, 4, 3, 3), torch.randn(1, 4, 3, 3))
        assert not torch.equal(scale, torch.ones_like(scale))
        assert torch.equal(shift, torch.zeros_like(shift))

    def test_it_follows_an_instance_norm(self) -> None:
        x, scale, shift = torch.randn(3, 1, 2, 5, 6)
        spread, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        wanted = scale * (x - mean) / (spread + 1e-5).sqrt() + shift
        torch.testing.assert_close(translate(x, scale, shift), wanted)

    def test_a_label_that_grows_changes_no_features_elsewhere(self) -> None:
        encoder, (_, labels) = LabelEncoder(COUNT, (4, 8, 8)), picture((16, 64))
        grown = labels.clone()
        grown[..., 48:] = 1
        for level, (one, two) in enumerate(zip(encoder(labels), encoder(grown), strict=True)):
            far = 32 >> level
            assert torch.equal(one[..., :far], two[..., :far])
            assert not torch.equal(one, two)


class TestTransport:
    @staticmethod
    def problem(dtype: torch.dtype = torch.float32) -> tuple[Transport, list[Tensor]]:
        generator = torch.Generator().manual_seed(1)

        def drawn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()

        transport = Transport(6, 8).to(dtype)
        for parameter in transport.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
        target, source = (
            [
                drawn(1, 6, *size),
                drawn(1, 6, *size),
                torch.randint(COUNT, (1, *size), generator=generator),
            ]
            for size in ((5, 7), (6, 4))
        )
        return transport, [*target, *source]

    def test_it_begins_as_the_identity(self) -> None:
        _, inputs = self.problem()
        assert torch.equal(Transport(6, 8)(*inputs), inputs[0])

    def test_the_fused_op_is_the_reference(self) -> None:
        """Values and all gradients."""
        found = {}
        for backend in ("fused", "reference"):
            transport, inputs = self.problem()
            with use_backend("reference") if backend == "reference" else nullcontext():
                result = transport(*inputs)
            result.square().sum().backward()
            leaves = [*transport.parameters(), *(x for x in inputs if x.is_leaf)]
            gradients = [x.grad for x in leaves if x.requires_grad]
            assert all(x is not None and x.abs().sum() > 0 for x in gradients)
            found[backend] = [result.detach(), *gradients]
        for fused, reference in zip(*found.values(), strict=True):
            most = float(reference.abs().max())
            torch.testing.assert_close(fused, reference, rtol=1e-4, atol=1e-5 * most)

    def test_pixels_read_those_of_their_label(self) -> None:
        """Against a dense masked softmax; labels that the source lacks read nothing."""
        transport, (x, around, labels, source_x, source_around, source_labels) = self.problem(
            torch.float64
        )
        source_labels[source_labels == 2] = 0
        found = transport(x, around, labels, source_x, source_around, source_labels)
        query = transport.query(torch.cat([x, around], 1)).flatten(2)[0].T
        key = transport.key(torch.cat([source_x, source_around], 1)).flatten(2)[0]
        same = labels.flatten()[:, None] == source_labels.flatten()
        scores = (query @ key / 8**0.5).masked_fill(~same, -torch.inf)
        weights = scores.softmax(1).nan_to_num(0)
        read = weights @ transport.value(source_x).flatten(2)[0].T
        wanted = x + transport.leave(read.T.unflatten(1, (5, 7))[None])
        torch.testing.assert_close(found, wanted)


class TestGenerator:
    @pytest.mark.parametrize("size", SIZES)
    def test_untrained_it_returns_its_start(self, size: tuple[int, int]) -> None:
        made, (image, labels) = network(trained=False), picture((12, 17))
        start = collage(image, size)
        found = made(image, labels, picture(size, 1)[1], start)
        assert torch.equal(found.image[0], start.image)

    @pytest.mark.parametrize(
        ("transport", "start"), list(itertools.product((True, False), repeat=2))
    )
    @pytest.mark.parametrize(("size", "other"), list(itertools.product(SIZES, SIZES)))
    def test_any_size_under_any_size(
        self, size: tuple[int, int], other: tuple[int, int], transport: bool, start: bool
    ) -> None:
        made = network(transport=transport, start=start)
        image, labels = picture(size)
        begin = collage(image, other) if start else None
        found = made(image, labels, picture(other, 1)[1], begin).image
        assert found.shape == (1, 3, *other)
        assert found.isfinite().all()
        assert found.abs().max() <= 1

    def test_training_changes_nothing(self) -> None:
        """No statistics are kept, nothing is dropped."""
        made, (image, labels) = network(), picture((13, 18))
        target, start = picture((13, 18), 1)[1], collage(image, (13, 18))
        one, two = (made.train(on)(image, labels, target, start).image for on in (True, False))
        assert torch.equal(one, two)

    def test_every_parameter_has_a_gradient(self) -> None:
        for start in (True, False):
            made, (image, labels) = network(start=start), picture((32, 48))
            begin = collage(image, (32, 48)) if start else None
            made(image, labels, picture((32, 48), 1)[1], begin).image.square().sum().backward()
            idle = [name for name, x in made.named_parameters() if not _moved(x)]
            assert idle == []

    def test_without_labels_all_pixels_may_be_read(self) -> None:
        """The restriction is what differs: parameters are the same."""
        on, off = network(), network(by_label=False)
        assert on.state_dict().keys() == off.state_dict().keys()
        image, labels = picture((16, 24))
        target, start = picture((16, 24), 1)[1], collage(image, (16, 24))
        one, two = (made(image, labels, target, start).image for made in (on, off))
        assert not torch.equal(one, two)

    def test_a_label_that_the_source_lacks(self) -> None:
        made, (image, labels) = network(start=False), picture((16, 24))
        labels[labels == 2] = 0
        assert made(image, labels, torch.full_like(labels, 2)).image.isfinite().all()


def _moved(parameter: Tensor) -> bool:
    return parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
