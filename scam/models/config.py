# SPDX-License-Identifier: Apache-2.0
"""What every model is told: the numbers that fix its parameters, under named presets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from scam.errors import InputError, did_you_mean
from scam.settings.fields import Checked, setting

MOST_LABELS = 1 << 16
"""Label files hold at most 16 bits."""
FIRST_KIND = "scam"
"""Of a ``config.json`` that does not say: those written before there were others."""
DATA_SETS: dict[str, dict[str, Any]] = {
    "tiny": {"num_labels": 3, "size": (96, 64)},
    "idesigner": {"num_labels": 3, "size": (256, 170)},
    "celebamask-hq": {"num_labels": 19, "size": (256, 256)},
    "ade20k": {"num_labels": 151, "size": (256, 256)},
}
"""Labels and sizes of the paper's three data sets, and one that trains on a laptop in minutes."""


@dataclass(frozen=True)
class ModelConfig(Checked):
    """Shapes of one model; each kind of model adds its own."""

    title: ClassVar[str] = "model config"
    heading: ClassVar[str] = "model"
    kind: ClassVar[str]
    """The model's name in the registry and in ``config.json``."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Where a preset of :data:`DATA_SETS` departs from the defaults."""
    later: ClassVar[Mapping[str, Any]] = {}
    """Settings that came when models of the kind had been saved, and what they were until then."""

    num_labels: int = setting(
        help="labels in a map, L; label 0 is the background", least=1, most=MOST_LABELS, flag=False
    )
    size: tuple[int, int] = setting(
        help="pixels; images are resized to it", least=1, most=1 << 14, metavar=("H", "W")
    )
    width: int = setting(64, "feature channels at full resolution", least=1, most=1 << 14)
    levels: int = setting(6, "times the resolution is halved, or doubled", least=1, most=13)

    @property
    def released(self) -> bool:
        """Whether published networks are reproduced, quirks included."""
        return False

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Training settings of this variant by name, where it departs from a task's defaults.

        What is asked for comes before them; one that has no effect beside that is left out.
        """
        return {}

    @property
    def least_parameters(self) -> int:
        """A lower bound of the parameters, to refuse what no machine holds."""
        return 0

    @property
    def least_numbers(self) -> int:
        """A lower bound of what is kept of one image in a training step."""
        return self.size[0] * self.size[1] * 3

    @property
    def identity(self) -> dict[str, Any]:
        """All settings, without :attr:`later` ones as they were before: equal for old files."""
        return {
            name: value
            for name, value in self.as_dict().items()
            if name not in self.later or value != self.later[name]
        }

    @property
    def facts(self) -> dict[str, Any]:
        """What a model card says of the variant, by name."""
        return {}

    @property
    def summary(self) -> str:
        """What the model does with an image, in a sentence for the model card."""
        return "Encodes an image and its label map to styles, and generates images from them."

    @classmethod
    def from_stored(cls, values: Mapping[str, Any]) -> Self:
        """Of the section ``model`` of a ``config.json``. InputError if it is not of this kind."""
        return cls.from_dict({**cls.later, **{k: v for k, v in values.items() if k != "kind"}})

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """The named preset with some fields replaced."""
        if name not in DATA_SETS:
            message = f"{{preset}}: expected one of {', '.join(DATA_SETS)}"
            raise InputError(message + did_you_mean(name, DATA_SETS), preset=name)
        return cls(**{**cls.preset_values(name), **changes})

    @classmethod
    def preset_values(cls, name: str) -> dict[str, Any]:
        """What the named preset says; the rest are defaults."""
        return {**DATA_SETS[name], **cls.presets.get(name, {})}
