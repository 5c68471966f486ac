# SPDX-License-Identifier: Apache-2.0
"""Models as folders to keep, copy and upload: what huggingface_hub calls a pretrained model."""

import inspect
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from huggingface_hub import ModelCard, ModelHubMixin, snapshot_download
from huggingface_hub.errors import (
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from torch import nn

from scam.checkpoints.step_folders import CHECKPOINTS, offering_older, resolve_checkpoint
from scam.checkpoints.training_state import TRAINING
from scam.checkpoints.weights import (
    CONFIG,
    MODEL,
    expect_finite,
    expect_tensors,
    read_weights,
    write_weights,
)
from scam.data.values import LabelValues
from scam.errors import InputError, first_line, quoted, type_of
from scam.models.card import CARD, model_card
from scam.models.config import FIRST_KIND, ModelConfig
from scam.models.description import describe_model, expect_about, expect_description
from scam.storage.files import checked_path, files_aside
from scam.storage.reading import read_json


def _arguments(of: Callable[..., Any], *without: str) -> frozenset[str]:
    return frozenset(inspect.signature(of).parameters) - {"self", *without}


_DOWNLOADS = _arguments(
    snapshot_download, "repo_id", "repo_type", "allow_patterns", "ignore_patterns", "local_dir",
    "dry_run", "library_name", "library_version",
)  # fmt: skip
_UPLOADS = _arguments(ModelHubMixin.push_to_hub, "repo_id", "config")


# Of requests, httpx or httpx2: the Hub's client uses one or another by its version.
_UNREACHABLE = {"ConnectionError", "Timeout", "TransportError"}


def _lacks_connection(error: Exception) -> bool:
    return any(kind.__name__ in _UNREACHABLE for kind in type(error).__mro__)


def _expect_known(method: str, given: Mapping[str, Any], known: frozenset[str]) -> None:
    """InputError for an argument that ``method`` does not have."""
    for name in given:
        if name not in known:
            raise InputError(
                f"{method}: has no argument {name!r}, expected some of {', '.join(sorted(known))}"
            )


def _expect_free(folder: Path, overwrite: bool) -> None:
    """InputError if files in ``folder`` are a training run's, or not a model's."""
    there = folder.resolve()
    above = next((x.parent for x in (there, there.parent) if x.name == CHECKPOINTS), None)
    in_run = above is not None and (above / CONFIG).exists()
    if in_run or (there / CHECKPOINTS).is_dir() or (there / TRAINING).exists():
        raise InputError(f"save_pretrained: {folder} is a training run's: expected another folder")
    names = [name for name in (MODEL, CARD, CONFIG) if (there / name).exists()]
    if not names or overwrite:
        return
    try:
        config = read_json(there / CONFIG)
    except InputError:
        config = {}
    if "training" in config and "data" in config:  # a run that has not saved yet
        raise InputError(f"save_pretrained: {folder} is a training run's: expected another folder")
    if not isinstance(config.get("model"), dict) or "label_names" not in config:
        raise InputError(
            f"save_pretrained: {folder} holds a {names[0]} of something else: expected another "
            "folder, or overwrite=True"
        )


class HubModel(nn.Module, ModelHubMixin):
    """``save_pretrained``, ``from_pretrained`` and ``push_to_hub`` for every model.

    A saved folder holds ``model.safetensors``, ``config.json`` and a model card, and every
    command takes it as its CHECKPOINT.
    """

    kinds: ClassVar[Mapping[str, Any]] = {}
    """Every kind of model by its name in ``config.json``: :data:`scam.models.registry.MODELS`."""
    Config: ClassVar[type[ModelConfig]]
    config: ModelConfig
    about: dict[str, Any]
    """Label names, label values and how it was trained, beside the networks in ``config.json``."""

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        """InputError unless the first argument is a :attr:`Config`; copying gives none."""
        config = args[0] if args else settings.get("config")
        if (args or settings) and not isinstance(config, cls.Config):
            name = cls.Config.__name__
            raise InputError(
                f"config is {type_of(config)}: expected a {name}, as {name}(**settings) or "
                f"{name}.preset('tiny') makes"
            )
        return super().__new__(cls, *args, **settings)

    @property
    def label_names(self) -> list[str]:
        """What the labels 0 .. L - 1 are called; ``label_0``, ... if they have no names."""
        return list(self.description()["label_names"])

    @property
    def label_values(self) -> LabelValues:
        """Which label a value of a label file is."""
        return LabelValues.from_dict(self.description()["label_values"])

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
        model, or for an argument it does not have; the errors of ``huggingface_hub`` where a
        download breaks off.
        """
        folder = checked_path(source, "from_pretrained: folder or repository")
        _expect_known("from_pretrained", hub, _DOWNLOADS)
        if not folder.exists():
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
        belong together; of a run it then names the newest step folder before it that is whole.
        """
        if not isinstance(fused, bool):
            raise InputError("{fused}: expected true or false", fused=fused)
        with offering_older(folder, partial(cls._open, fused=fused)):
            return cls._open(folder, fused=fused)

    @classmethod
    def _open(cls, folder: Path, *, fused: bool) -> Self:
        tensors, config = read_weights(folder)
        about = {key: value for key, value in config.items() if key != "model"}
        try:
            if "model" not in config:
                raise InputError("no entry 'model'")
            kind = HubModel.stored_kind(config["model"])
            shapes = kind.Config.from_stored(config["model"])
            expect_about(about, shapes.num_labels)
            if "training" in about:  # its name at first
                about.setdefault("trained", about.pop("training"))
            if not isinstance(about.get("trained", {}), dict):
                raise InputError(f"trained={quoted(about['trained'])}: expected facts by name")
        except InputError as error:
            raise InputError(f"{folder / CONFIG}: {error}") from error
        if not issubclass(kind, cls):
            raise InputError(
                f"{folder} holds a {kind.__name__}, expected a {cls.__name__}: "
                "scam.load opens either"
            )
        # On no device: shapes are compared before anything is allocated.
        with torch.device("meta"):
            like = kind(shapes).state_dict()
        expect_tensors(tensors, like, f"{folder / MODEL}: weights", same_dtype=False)
        # Whatever torch.device or default dtype is set around: the weights say what they are.
        # Initial weights are drawn in vain: the caller's random numbers stay.
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):
            model: Self = kind(shapes).configure(fused=fused).float()
        model.about = about
        model.load_state_dict(tensors)
        return model.eval()

    @staticmethod
    def stored_kind(values: Any) -> Any:
        """The kind of model that ``model`` of a ``config.json`` describes. InputError: none."""
        if not isinstance(values, Mapping):
            raise InputError(f"model config: found {quoted(values)}, expected settings by name")
        kind = values.get("kind", FIRST_KIND)
        if not isinstance(kind, str) or kind not in HubModel.kinds:
            raise InputError(
                f"kind is {quoted(kind)}, expected one of {', '.join(HubModel.kinds)}"
            )
        return HubModel.kinds[kind]

    def generate_model_card(self, *args: Any, card: str | None = None, **kwargs: Any) -> ModelCard:
        """``card``, or one that says what the model does, how it was trained and its scores."""
        if args or kwargs or not isinstance(card, str | None):
            raise InputError(f"model_card_kwargs={quoted(kwargs)}: expected {{'card': markdown}}")
        return ModelCard(model_card(self.config, self.description()) if card is None else card)

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        repo_id: str | None = None,
        config: Any = None,
        overwrite: bool = False,
        half: bool = False,
        push_to_hub: bool = False,
        model_card_kwargs: dict[str, Any] | None = None,
        **hub: Any,
    ) -> str | None:
        """Write the folder, and with ``push_to_hub`` upload it as ``repo_id`` (default: its name).

        A kill leaves each file as it was or as it shall be. The card is written again, from
        ``model_card_kwargs={"card": markdown}`` where that is given. ``hub``: commit_message,
        private, token and others of ``ModelHubMixin.push_to_hub``, which returns an address.
        overwrite: replace files of these names that belong to no model of ours. half: write
        weights as float16, in half the bytes; the model stays as it is, and opening the folder
        computes in float32. ``config`` is the model's own.

        Raises InputError when a file is in the way or the disk refuses, for an argument it does
        not have, for weights that are not finite or an :attr:`about` of other labels, which could
        not be opened, and for the folder of a training run, which could not be resumed any more.
        """
        if config is not None:
            raise InputError("save_pretrained: config: expected none, the model has its own")
        _expect_known("save_pretrained", hub, _UPLOADS)
        if not isinstance(model_card_kwargs, Mapping | None):
            raise InputError(f"model_card_kwargs={quoted(model_card_kwargs)}: expected a dict")
        if half and push_to_hub:
            raise InputError("save_pretrained: half: expected a folder, then `hf upload`")
        folder = checked_path(save_directory, "save_pretrained: folder")
        tensors = self.state_dict()
        if half:
            tensors = {n: x.half() if x.is_floating_point() else x for n, x in tensors.items()}
        for name, tensor in tensors.items():
            expect_finite(tensor, f"save_pretrained: {name}")
        expect_description(self.description(), self.config.num_labels)
        _expect_free(folder, overwrite)
        with files_aside(folder, (MODEL, CARD, CONFIG)) as partial:
            super().save_pretrained(partial, model_card_kwargs=model_card_kwargs)
            if half:
                write_weights(partial, tensors, self.description())
        if not push_to_hub:
            return None
        name = folder.name if repo_id is None else repo_id
        url: str = self.push_to_hub(name, model_card_kwargs=model_card_kwargs, **hub)
        return url

    def push_to_hub(self, repo_id: str, **hub: Any) -> str:
        """Upload as ``repo_id``; ``hub``: see ``ModelHubMixin.push_to_hub``.

        Raises InputError for an argument that it does not have, before anything is made there, and
        without a connection; the errors of ``huggingface_hub`` where the Hub refuses.
        """
        _expect_known("push_to_hub", hub, _UPLOADS)
        self.generate_model_card(**(hub.get("model_card_kwargs") or {}))
        try:
            url: str = super().push_to_hub(repo_id, **hub)
        except Exception as error:
            if not _lacks_connection(error):
                raise
            raise InputError(
                f"{{repo_id}}: no connection to the Hugging Face Hub ({first_line(error)}): try "
                f"again, or save_pretrained(FOLDER) now and `hf upload {repo_id} FOLDER` later",
                repo_id=repo_id,
            ) from error
        return url

    def _save_pretrained(self, save_directory: Path) -> None:
        write_weights(save_directory, self.state_dict(), self.description())
