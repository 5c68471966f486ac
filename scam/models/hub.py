# SPDX-License-Identifier: Apache-2.0
"""Models as folders to keep, copy and upload: what huggingface_hub calls a pretrained model."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from huggingface_hub import ModelCard, ModelHubMixin, snapshot_download
from huggingface_hub.errors import (
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from torch import nn

from scam.errors import InputError
from scam.files import files_aside
from scam.models.card import CARD, model_card
from scam.models.config import ModelConfig
from scam.models.step_folders import resolve_checkpoint
from scam.models.weights import CONFIG, MODEL, read_weights, write_weights


def describe_model(config: ModelConfig, about: Mapping[str, Any]) -> dict[str, Any]:
    """The ``config.json`` of a folder with a model; labels nobody has named are numbered.

    ``about``: ``label_names``, ``label_values``, and how it was ``trained``, as far as known.
    """
    labels = range(config.num_labels)
    unnamed = {
        "label_names": [f"label_{label}" for label in labels],
        "label_values": {"to_label": list(labels), "ignore": None},
    }
    return {"model": config.as_dict(), **unnamed, **about}


class HubModel(nn.Module, ModelHubMixin):
    """``save_pretrained``, ``from_pretrained`` and ``push_to_hub`` for :class:`Scam`.

    A saved folder holds ``model.safetensors``, ``config.json`` and a model card, and every
    command takes it as its CHECKPOINT.
    """

    config: ModelConfig
    about: dict[str, Any]
    """Beside the networks, in ``config.json``: label names, label values, how it was trained."""

    def description(self) -> dict[str, Any]:
        """All of ``config.json``."""
        return describe_model(self.config, self.about)

    @classmethod
    def from_pretrained(  # type: ignore[override]  # fewer ways, each of them typed
        cls, source: str | os.PathLike[str], *, fused: bool = True, **hub: Any
    ) -> Self:
        """Open a folder or, downloading it, a repository ``"user/name"`` of the Hugging Face Hub.

        The folder is one that was saved, a training run's, of which it takes the newest
        checkpoint, or one of that run's ``checkpoints/step_*``; it never touches the network.
        The model is in evaluation mode, on the CPU. ``hub``: revision, token, cache_dir,
        local_files_only and others of ``huggingface_hub.snapshot_download``.

        Raises InputError when there is neither, or files are missing, damaged or of another
        model; the errors of ``huggingface_hub`` where a download breaks off.
        """
        folder = Path(source)
        if not folder.is_dir():
            wanted = [MODEL, CONFIG]
            try:
                folder = Path(snapshot_download(str(source), allow_patterns=wanted, **hub))
            except (HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError) as error:
                reason = str(error).strip().splitlines()[0]
                raise InputError(
                    f"{source}: no such folder, and no repository that can be reached ({reason})"
                ) from error
        return cls.open(resolve_checkpoint(folder), fused=fused)

    @classmethod
    def open(cls, folder: Path, *, fused: bool = True) -> Self:
        """The model that ``folder`` holds, in evaluation mode, on the CPU.

        Raises InputError when a file is missing or damaged, or weights and configuration do not
        belong together.
        """
        tensors, config = read_weights(folder)
        try:
            shapes = config["model"]
        except KeyError as error:
            raise InputError(f"{folder / CONFIG}: no entry {error}") from error
        model = cls(ModelConfig.from_dict(shapes), fused=fused)
        model.about = {key: value for key, value in config.items() if key != "model"}
        if "training" in model.about:  # its name at first
            model.about.setdefault("trained", model.about.pop("training"))
        try:
            model.load_state_dict(tensors)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise InputError(f"{folder}: weights of another model ({reason})") from error
        return model.eval()

    def generate_model_card(self, *args: Any, card: str | None = None, **kwargs: Any) -> ModelCard:
        """``card``, or one that says what the model paints, how it was trained and its scores."""
        return ModelCard(model_card(self.description()) if card is None else card)

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        model_card_kwargs: dict[str, Any] | None = None,
        **hub: Any,
    ) -> str | None:
        """Write the folder, and with ``push_to_hub`` upload it as ``repo_id`` (default: its name).

        A kill leaves each file as it was or as it shall be. The card is written anew, from
        ``model_card_kwargs={"card": markdown}`` where that is given. ``hub``: commit_message,
        private, token and others of ``ModelHubMixin.push_to_hub``, which returns an address.

        Raises InputError when a file is in the way or the disk refuses.
        """
        folder = Path(save_directory)
        with files_aside(folder, (MODEL, CARD, CONFIG)) as partial:
            super().save_pretrained(partial, model_card_kwargs=model_card_kwargs)
        if not push_to_hub:
            return None
        name = folder.name if repo_id is None else repo_id
        url: str = self.push_to_hub(name, model_card_kwargs=model_card_kwargs, **hub)
        return url

    def _save_pretrained(self, save_directory: Path) -> None:
        write_weights(save_directory, self.state_dict(), self.description())
