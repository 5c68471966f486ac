# SPDX-License-Identifier: Apache-2.0
"""Numbers of a model that needs noise are means over several draws of it."""

from pathlib import Path

import pytest
import torch

from scam.data import Mannequins
from scam.evaluation import EvaluationOptions, evaluate
from scam.evaluation.rows import Row
from scam.models import Scam, ScamConfig


@pytest.mark.parametrize("fidelity", ["default", "released"])
def test_draws_count_where_noise_is_needed(fidelity: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    changes = {"num_labels": 11, "size": (32, 32), "latents_per_label": 2}
    model = Scam(ScamConfig.preset("tiny", fidelity=fidelity, **changes))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "noise" in name:
                weight.fill_(0.5)
    model.about = {"label_names": list(Mannequins("val", 2).label_set.names)}
    model.save_pretrained(tmp_path / "model")

    def measured(draws: int) -> Row:
        given = {"data": "mannequins", "metrics": ("psnr",), "max_pictures": 2, "workers": 0}
        path = tmp_path / "model"
        return evaluate(EvaluationOptions(checkpoint=path, noise_seeds=draws, **given))[0]

    one, three = measured(1), measured(3)
    assert one.value is not None
    assert three.value is not None
    if fidelity == "default":
        assert three == one
    else:
        assert three.note == "mean of 3 draws of noise"
        assert three.value == pytest.approx(one.value, rel=0.1)
        assert three.value != one.value
