# SPDX-License-Identifier: Apache-2.0
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

import scam
from scam.data import Mannequins, PairDataset
from scam.data.dataset import in_order
from scam.data.warp import warp_batch
from scam.errors import InputError
from scam.models import MODELS, Scam, ScamConfig, Styles, SynthesisModel
from scam.models.views import Role

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


def error(
    model: SynthesisModel, image: Tensor, labels: Tensor, refine: int, role: Role = "alone"
) -> Tensor:
    """Squared error of each reconstruction, (B,)."""
    styles = model.encode(image, labels, refine=refine, role=role)
    with torch.no_grad():
        made = model.generate(labels, styles, model.fixed_noise())
    return (made - image).square().mean((1, 2, 3))


# Styles of SEAN and CLADE count for nothing before training.
@pytest.mark.parametrize("role", get_args(Role))
@pytest.mark.parametrize("kind", ["scam", "spade", "inade", "groupdnet"])
def test_more_steps_come_nearer_whatever_the_model(kind: str, role: Role) -> None:
    torch.manual_seed(0)
    model = MODELS[kind](MODELS[kind].Config.preset("tiny", num_labels=4, size=(64, 32))).eval()
    image, labels = pictures()
    none, few, more = (error(model, image, labels, steps, role) for steps in (0, 3, 10))
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
        # The background's map is its own unless another is given.
        poses: list[tuple[Tensor | None, Role]] = [(None, "host"), (labels[:1], "donor")]
        for pose, role in poses:
            subject = self.model.encode(*pair[0], refine=2, role="donor")
            background = self.model.encode(*pair[1], refine=2, role=role)
            wanted = labels[1:] if pose is None else pose
            mixed = self.model.mix(subject, background, background.present)
            expected = self.model.generate(wanted, mixed)
            made = self.model.transfer(*pair, labels=pose, refine=2)
            torch.testing.assert_close(made, expected)

    def test_what_is_no_role(self) -> None:
        with pytest.raises(InputError, match=r"^role='scene': expected alone, host, donor$"):
            self.model.encode(*pictures(), refine=1, role="scene")  # type: ignore[arg-type]

    @pytest.mark.parametrize("steps", [-1, 1.5, True, "3", None])
    def test_what_is_no_number_of_steps(self, steps: object) -> None:
        with pytest.raises(InputError, match=r"^refine=.*: expected a number of steps"):
            self.model.encode(*pictures(), refine=steps)  # type: ignore[arg-type]

    def test_the_number_of_steps_may_be_numpy_s(self) -> None:
        found, wanted = (self.model.encode(*pictures(), refine=n) for n in (np.int64(1), 1))
        assert torch.equal(found.tokens, wanted.tokens)

    def test_a_mode_without_gradients_is_named(self) -> None:
        with torch.inference_mode(), pytest.raises(InputError, match=r"^refine=1: .*no_grad$"):
            self.model.encode(*pictures(), refine=1)


class TestRoles:
    """Of the demo, on people it was not trained on."""

    model = scam.load("demo")
    people = PairDataset(Mannequins("val", 32), model.config.size)
    image, labels = next(in_order(people, 2, [9, 20]))

    def fitted(self, role: Role) -> Styles:
        return self.model.encode(self.image, self.labels, refine=30, role=role)

    def test_they_repeat_themselves(self) -> None:
        assert torch.equal(self.fitted("donor").tokens, self.fitted("donor").tokens)
        assert torch.equal(self.fitted("host").tokens, self.fitted("host").tokens)

    @torch.no_grad()
    def test_a_donor_s_suit_other_label_maps_better(self) -> None:
        random = np.random.default_rng(1)  # none of the copies they are fitted to
        warps = [warp_batch(self.image, self.labels, random) for _ in range(4)]

        def error(styles: Styles) -> float:
            made = [self.model.generate(labels, styles) - image for image, labels in warps]
            return float(torch.stack(made).square().mean())

        assert error(self.fitted("donor")) < 0.9 * error(self.fitted("alone"))

    @torch.no_grad()
    def test_a_host_s_scene_stands_another_subject(self) -> None:
        subjects = self.model.encode(self.image, self.labels)[[1, 0]]
        scene = (self.labels == 0).unsqueeze(1)

        def error(styles: Styles) -> float:
            mixed = self.model.mix(subjects, styles, styles.present)
            made = self.model.generate(self.labels, mixed)
            return float((scene * (made - self.image)).square().mean())

        assert error(self.fitted("host")) < 0.9 * error(self.fitted("alone"))
