# SPDX-License-Identifier: Apache-2.0
"""What ``config.json`` says of a model beside its networks: labels, and how it was trained."""

import json
from collections.abc import Mapping
from typing import Any

from scam.data.options import DataOptions
from scam.data.values import LabelValues
from scam.errors import InputError, leading, quoted
from scam.models.config import ModelConfig


def describe_model(config: ModelConfig, about: Mapping[str, Any]) -> dict[str, Any]:
    """The ``config.json`` of a folder with a model; labels without names are numbered.

    ``about``: ``label_names``, ``label_values``, and how it was ``trained``, as far as known.
    """
    labels = range(config.num_labels)
    unnamed = {
        "label_names": [f"label_{label}" for label in labels],
        "label_values": {"to_label": list(labels), "ignore": None},
    }
    return {"model": {"kind": config.kind, **config.as_dict()}, **unnamed, **about}


def expect_about(about: Mapping[str, Any], num_labels: int) -> None:
    """InputError if ``about`` names or numbers labels other than 0 to ``num_labels`` - 1, or holds
    an unknown ``fit``.
    """
    DataOptions(fit=about.get("fit", "squash"))  # checks it
    if "label_names" in about:
        names = about["label_names"]
        if not isinstance(names, list | tuple) or not all(isinstance(x, str) for x in names):
            raise InputError(f"label_names={quoted(names)}: expected a list of names")
        if len(names) != num_labels or len(set(names)) < num_labels:
            raise InputError(
                f"label_names={quoted(names)}: expected {num_labels} different names, one a label"
            )
    if "label_values" in about:
        try:
            to_label = LabelValues.from_dict(about["label_values"]).to_label
        except InputError as error:
            raise InputError(f"label_values: {error}") from error
        if max(to_label, default=0) >= num_labels:
            raise InputError(
                f"label_values: to_label holds {max(to_label)}, expected 0 to {num_labels - 1}"
            )


def expect_description(description: Mapping[str, Any], num_labels: int) -> None:
    """InputError if ``description`` could not be opened as a ``config.json``."""
    with leading("about"):
        expect_about(description, num_labels)
        try:
            json.dumps(description, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"{error}; expected what JSON can hold") from error
