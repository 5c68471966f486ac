# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import Tensor

from scam.errors import InputError
from scam.models import MODELS, Scam, ScamConfig, SynthesisModel

CONFIG = ScamConfig(
    4, (64, 32), width=16, levels=4, latents_per_label=2, background_latents=3, token_dim=16,
    attention_dim=16,
)  # fmt: skip


def pictures(batch: int = 2) -> tuple[Tensor, Tensor]:
    """Images with horizontal stripes, and maps without label 3."""
    labels = torch.zeros(batch, 64, 32, dtype=torch.int32)
    labels[:, 8:40, 4:20] = 1
    labels[:, 40:60, 10:30] = 2
    stripes = (torch.arange(64)[:, None] // 4 % 2) * 1.0 - 0.5
    tints = torch.linspace(-0.4, 0.4, 3 * batch).view(batch, 3, 1, 1)
    return stripes + tints.expand(batch, 3, 64, 32), labels


def error(model: SynthesisModel, image: Tensor, labels: Tensor, refine: int) -> Tensor:
    """Squared error of each reconstruction, (B,)."""
    styles = model.encode(image, labels, refine=refine)
    with torch.no_grad():
        made = model.generate(labels, styles, model.fixed_noise())
    return (made - image).square().mean((1, 2, 3))


# Styles of SEAN and CLADE count for nothing before training.
@pytest.mark.parametrize("kind", ["scam", "spade", "inade", "groupdnet"])
def test_more_steps_come_nearer_whatever_the_model(kind: str) -> None:
    torch.manual_seed(0)
    model = MODELS[kind](MODELS[kind].Config.preset("tiny", num_labels=4, size=(64, 32))).eval()
    image, labels = pictures()
    none, few, more = (error(model, image, labels, steps) for steps in (0, 3, 10))
    assert (more < few).all()
    assert (few < none).all()


class TestScam:
    model = Scam(CONFIG).eval()

    def test_it_repeats_itself_and_does_not_depend_on_the_batch(self) -> None:
        image, labels = pictures()
        both = self.model.encode(image, labels, refine=3).tokens
        assert torch.equal(both, self.model.encode(image, labels, refine=3).tokens)
        # Adam makes steps of a gradient's rounding, too: compared is what comes of them.
        together = error(self.model, image, labels, refine=3)[1:]
        alone = error(self.model, image[1:], labels[1:], refine=3)
        torch.testing.assert_close(alone, together, rtol=1e-3, atol=0)

    def test_latents_of_absent_labels_stay(self) -> None:
        image, labels = pictures()
        before, after = (self.model.encode(image, labels, refine=n) for n in (0, 3))
        absent = self.model.token_labels == 3
        torch.testing.assert_close(before.tokens[:, absent], after.tokens[:, absent])
        assert not torch.equal(before.tokens[:, ~absent], after.tokens[:, ~absent])
        assert torch.equal(before.present, after.present)

    def test_networks_and_the_caller_s_gradients_are_left_alone(self) -> None:
        model = Scam(CONFIG)
        model.encoder.requires_grad_(False)
        asked = {name: p.requires_grad for name, p in model.named_parameters()}
        weights = {name: x.clone() for name, x in model.state_dict().items()}
        with torch.no_grad():
            styles = model.encode(*pictures(), refine=2)
        assert not styles.tokens.requires_grad
        assert {name: p.requires_grad for name, p in model.named_parameters()} == asked
        assert all(p.grad is None for p in model.parameters())
        assert all(torch.equal(x, weights[name]) for name, x in model.state_dict().items())

    def test_no_steps_are_the_encoder_s_own(self) -> None:
        image, labels = pictures()
        own = self.model.encode(image, labels).tokens
        assert torch.equal(own, self.model.encode(image, labels, refine=0).tokens)

    def test_a_transfer_refines_both(self) -> None:
        image, labels = pictures()
        pair = (image[:1], labels[:1]), (image[1:], labels[1:])
        styles = [self.model.encode(*one, refine=2) for one in pair]
        mixed = self.model.mix(*styles, styles[1].present)
        expected = self.model.generate(labels[1:], mixed)
        torch.testing.assert_close(self.model.transfer(*pair, refine=2), expected)

    @pytest.mark.parametrize("steps", [-1, 1.5, True, "3", None])
    def test_what_is_no_number_of_steps(self, steps: object) -> None:
        with pytest.raises(InputError, match=r"^refine=.*: expected a number of steps"):
            self.model.encode(*pictures(), refine=steps)  # type: ignore[arg-type]

    def test_a_mode_without_gradients_is_named(self) -> None:
        with torch.inference_mode(), pytest.raises(InputError, match=r"^refine=1: .*no_grad$"):
            self.model.encode(*pictures(), refine=1)
