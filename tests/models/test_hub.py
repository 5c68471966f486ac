# SPDX-License-Identifier: Apache-2.0
"""Models as folders: saved, opened again without a network, and said what they are."""

import json
import os
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from scam import Scam
from scam.checkpoints.weights import write_weights
from scam.errors import InputError
from scam.models import ScamConfig
from scam.models.card import model_card
from scam.models.checkpoint import load, load_checkpoint, run_around

OWN_CARD = "---\nlicense: mit\n---\n\nMine.\n"
SMALL = ScamConfig.preset("tiny", size=(32, 32), latents_per_label=3, background_latents=2)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Scam, Path]:
    torch.manual_seed(0)
    model = Scam(SMALL).eval()
    model.about = {
        "label_names": ["ground", "skin", "coat"],
        "label_values": {"to_label": [0, 2, 1], "ignore": 255},
        "trained": {"data": "photos", "steps": 7, "psnr": 12.3456},
    }
    model.save_pretrained(tmp_path / "model")
    return model, tmp_path / "model"


def test_a_saved_model_generates_the_same_bits_and_needs_no_network(
    saved: tuple[Scam, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a folder must not be looked up")

    monkeypatch.setattr("scam.models.hub.snapshot_download", refuse)
    model, folder = saved
    torch.manual_seed(7)
    again = Scam.from_pretrained(folder)
    drawn = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(3)), "opening draws no random numbers"
    assert not again.training
    assert again.about == model.about
    image, labels = torch.rand(1, 3, 32, 32), torch.randint(0, 3, (1, 32, 32))
    with torch.no_grad():
        expected = model.generate(labels, model.encode(image, labels))
        found = again.generate(labels, again.encode(image, labels))
    assert torch.equal(found, expected)


def test_half_the_bytes(saved: tuple[Scam, Path], tmp_path: Path) -> None:
    model, folder = saved
    model.save_pretrained(tmp_path / "half", half=True)
    sizes = [(x / "model.safetensors").stat().st_size for x in (folder, tmp_path / "half")]
    assert 1.8 < sizes[0] / sizes[1] < 2.1
    again = Scam.from_pretrained(tmp_path / "half")
    for name, tensor in model.state_dict().items():
        found = again.state_dict()[name]
        assert found.dtype == tensor.dtype
        assert torch.equal(found, tensor.half().to(tensor))
    with pytest.raises(InputError, match="half: expected a folder, then `hf upload`"):
        model.save_pretrained(tmp_path / "more", half=True, push_to_hub=True)
    model.mean_tokens += 1e6
    with pytest.raises(InputError, match=r"mean_tokens: \d+ of \d+ values are not finite"):
        model.save_pretrained(tmp_path / "half", half=True)
    assert torch.equal(Scam.from_pretrained(tmp_path / "half").mean_tokens, again.mean_tokens)


def test_labels_are_named_and_valued(saved: tuple[Scam, Path]) -> None:
    assert saved[0].label_names == ["ground", "skin", "coat"]
    assert saved[0].label_values.to_label == (0, 2, 1)
    assert Scam(SMALL).label_names == ["label_0", "label_1", "label_2"]
    assert Scam(SMALL).label_values.to_label == (0, 1, 2)


def test_facts_of_training_are_read_under_their_first_name(saved: tuple[Scam, Path]) -> None:
    model, folder = saved
    config = json.loads((folder / "config.json").read_text())
    config["training"] = config.pop("trained")
    (folder / "config.json").write_text(json.dumps(config))
    assert Scam.from_pretrained(folder).about == model.about


def test_the_run_around_a_checkpoint_is_a_run(saved: tuple[Scam, Path], tmp_path: Path) -> None:
    """Another model's config.json two folders up is none."""
    step = tmp_path / "checkpoints" / "step_0000001"
    (tmp_path / "kept").mkdir()
    (tmp_path / "config.json").write_text("{}")
    assert run_around(tmp_path / "kept" / "coats") is None
    assert run_around(step) == tmp_path


def test_commands_take_a_saved_folder_as_checkpoint(saved: tuple[Scam, Path]) -> None:
    checkpoint = load_checkpoint(saved[1])
    assert checkpoint.model.labels_of("coat") == (2,)
    assert checkpoint.label_values.to_label == (0, 2, 1)
    assert checkpoint.label_values.ignore == 255


def test_a_model_nobody_described_numbers_its_labels(tmp_path: Path) -> None:
    Scam(SMALL).save_pretrained(tmp_path)
    assert load_checkpoint(tmp_path).label_names == ("label_0", "label_1", "label_2")


def test_a_repository_is_downloaded_and_only_what_is_read(
    saved: tuple[Scam, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {}

    def download(name: str, **options: object) -> str:
        asked.update(options, name=name)
        return str(saved[1])

    monkeypatch.setattr("scam.models.hub.snapshot_download", download)
    model = Scam.from_pretrained("someone/coats", revision="v2", fused=False)
    assert not model.fused
    assert asked == {
        "name": "someone/coats",
        "revision": "v2",
        "allow_patterns": ["model.safetensors", "config.json"],
    }


def test_the_card_says_what_the_model_is_and_how_it_was_trained(saved: tuple[Scam, Path]) -> None:
    card = (saved[1] / "README.md").read_text()
    head, _, body = card.removeprefix("---\n").partition("\n---\n")
    assert "library_name: semantic-cross-attention" in head
    assert "32x32 (height x width), 3 labels" in body
    assert "encodes an image and its label map to 8 latents" in body.lower()
    assert "0 ground, 1 skin, 2 coat" in body
    assert "| psnr | 12.35 |" in body
    assert "| steps | 7 |" in body


def test_the_card_is_this_model_s_or_the_user_s_own(saved: tuple[Scam, Path]) -> None:
    model, folder = saved
    before = (folder / "README.md").read_text()
    (folder / "README.md").write_text("another model's")
    (folder / "notes.txt").write_text("keep me")
    model.save_pretrained(folder)
    assert (folder / "README.md").read_text() == before
    model.save_pretrained(folder, model_card_kwargs={"card": OWN_CARD})
    assert (folder / "README.md").read_text() == OWN_CARD
    names = ["README.md", "config.json", "model.safetensors", "notes.txt"]
    assert sorted(path.name for path in folder.iterdir()) == names


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_model_saved_over_another_is_never_half_there(
    saved: tuple[Scam, Path], monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    """Interrupted before the first file, or after some of them, the folder still opens."""
    model, folder = saved
    old = model.state_dict()["mean_tokens"].clone()
    model.mean_tokens += 1
    model.about = {**model.about, "trained": {"steps": 8}}
    done: list[str] = []
    replace = os.replace

    def stop(source: Path, target: Path) -> None:
        if len(done) == moved:
            raise KeyboardInterrupt
        done.append(target.name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        model.save_pretrained(folder)
    assert done == ["model.safetensors", "README.md"][:moved]
    again = Scam.from_pretrained(folder)
    assert torch.equal(again.mean_tokens, old + 1 if moved else old)
    assert again.about["trained"]["steps"] == 7
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "config.json", "model.safetensors",
    ]  # fmt: skip


def test_a_model_is_uploaded_under_its_folder_s_name_or_another(
    saved: tuple[Scam, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uploads: list[dict[str, str]] = []

    class Hub:
        def __init__(self, token: str | None = None) -> None:
            self.token = token

        def create_repo(self, repo_id: str, **_: object) -> SimpleNamespace:
            return SimpleNamespace(repo_id=repo_id)

        def upload_folder(
            self, repo_id: str, folder_path: Path, commit_message: str, **_: object
        ) -> str:
            card = (folder_path / "README.md").read_text()
            names = " ".join(sorted(path.name for path in folder_path.iterdir()))
            uploads.append({"to": repo_id, "files": names, "card": card, "why": commit_message})
            return f"address of {repo_id}"

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Hub)
    model, _ = saved
    card = {"card": OWN_CARD}
    url = model.save_pretrained(tmp_path / "coats", push_to_hub=True, commit_message="why")
    other = model.push_to_hub("me/coats", model_card_kwargs=card, commit_message="so")
    assert (url, other) == ("address of coats", "address of me/coats")
    files = "README.md config.json model.safetensors"
    assert uploads == [
        {
            "to": "coats",
            "files": files,
            "card": model_card(model.config, model.description()),
            "why": "why",
        },
        {"to": "me/coats", "files": files, "card": OWN_CARD, "why": "so"},
    ]
    assert (tmp_path / "coats" / "config.json").is_file()


def test_an_upload_without_a_connection_is_one_line(
    saved: tuple[Scam, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # is closed
    with pytest.raises(InputError) as found:
        saved[0].push_to_hub("me/coats", token="hf_none")
    assert str(found.value).startswith(
        "repo_id='me/coats': no connection to the Hugging Face Hub ("
    )
    assert str(found.value).endswith("`hf upload me/coats FOLDER` later")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi.create_repo", refuse)
    with pytest.raises(PermissionError, match="not yours"):
        saved[0].push_to_hub("me/coats", token="hf_none")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "config.json").write_text("{}"), "no entry 'model'"),
        (lambda folder: (folder / "config.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 99), "is damaged"),
    ],
)
def test_a_damaged_folder_is_named(saved: tuple[Scam, Path], damage: object, words: str) -> None:
    damage(saved[1])  # type: ignore[operator]
    with pytest.raises(InputError, match=words) as caught:
        Scam.from_pretrained(saved[1])
    assert str(saved[1]) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_of_another_model_are_refused(saved: tuple[Scam, Path]) -> None:
    path = saved[1] / "config.json"
    config = json.loads(path.read_text())
    config["model"]["latents_per_label"] = 4
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match="weights of another model"):
        Scam.from_pretrained(saved[1])


@pytest.mark.parametrize("name", ["no_such_folder", "/nowhere/at/all", "some one/x"])
def test_neither_folder_nor_repository(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no such folder, and no repository") as caught:
        Scam.from_pretrained(name, local_files_only=True)
    assert "\n" not in str(caught.value)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("do not lose me")
    with pytest.raises(InputError, match=r"cannot write .*model: .*expected a folder"):
        Scam(SMALL).save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match=r"checkpoint .*model is a file: give"):
        Scam.from_pretrained(tmp_path / "model")
    assert (tmp_path / "model").read_text() == "do not lose me"


@pytest.mark.parametrize(
    "argument", ["torch_dtype", "dtype", "device_map", "strict", "map_location", "allow_patterns"]
)
def test_an_argument_that_there_is_not_is_named(saved: tuple[Scam, Path], argument: str) -> None:
    model, folder = saved
    for call in (Scam.from_pretrained, model.save_pretrained, model.push_to_hub):
        known = argument == "allow_patterns" and call != Scam.from_pretrained
        if not known:
            with pytest.raises(InputError, match=f"has no argument '{argument}'"):
                call(str(folder), **{argument: None})


@pytest.mark.parametrize("made", ["run", "checkpoints", "checkpoints/step_0000001", "copy"])
def test_a_training_run_is_never_saved_over(
    saved: tuple[Scam, Path], tmp_path: Path, made: str
) -> None:
    model, _ = saved
    run = tmp_path / "run"
    step = run / "checkpoints" / "step_0000001"
    step.mkdir(parents=True)
    (run / "config.json").write_text('{"data": {}, "model": {}, "training": {}, "label_names": 0}')
    (step / "model.safetensors").write_text("weights")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "training.pt").write_text("moments")
    target = {"run": run, "copy": tmp_path / "copy"}.get(made, run / made)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for overwrite in (False, True):
        with pytest.raises(InputError, match="is a training run's: expected another folder"):
            model.save_pretrained(target, overwrite=overwrite)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_another_s_files_are_replaced_only_if_asked_for(
    saved: tuple[Scam, Path], tmp_path: Path
) -> None:
    model, _ = saved
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "README.md").write_text("mine")
    with pytest.raises(InputError, match=r"holds a README\.md of something else"):
        model.save_pretrained(tmp_path / "project")
    assert os.listdir(tmp_path / "project") == ["README.md"]
    model.save_pretrained(tmp_path / "project", overwrite=True)
    assert Scam.from_pretrained(tmp_path / "project").config == model.config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label_names": 5}, "label_names=5: expected a list of names"),
        ({"label_names": None}, "label_names=None: expected a list of names"),
        ({"label_values": None}, "label_values: found None"),
        ({"fit": 7}, "fit=7: expected squash, crop or pad"),
        ({"model": {"kind": ["scam"]}}, r"kind is \['scam'\], expected one of scam, spade"),
        ({"label_names": ["a", "b"]}, "expected 3 different names"),
        ({"label_names": ["a", "b", "b"]}, "expected 3 different names"),
        (
            {"label_values": {"to_label": [0, 1, 7], "ignore": None}},
            "to_label holds 7, expected 0",
        ),
        ({"label_values": {"to_label": 5, "ignore": None}}, "to_label=5: expected a list"),
        ({"label_values": {"ignore": None}}, "label_values: to_label is missing"),
        ({"label_values": []}, "label_values: found"),
        ({"trained": 7}, "trained=7: expected facts by name"),
        ({"model": 3}, "model config: found 3, expected settings by name"),
        (
            {"model": {"num_labels": 3, "size": [32, 32], "width": 16.0}},
            r"width=16\.0: expected an",
        ),
        (
            {"model": {"num_labels": 3, "size": [32, 32], "pyramid": "no"}},
            "pyramid='no': expected",
        ),
    ],
)
def test_a_config_that_is_well_formed_and_wrong_is_named(
    saved: tuple[Scam, Path], changes: dict[str, object], words: str
) -> None:
    path = saved[1] / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    for opens in (Scam.from_pretrained, load_checkpoint):
        with pytest.raises(InputError, match=words) as caught:
            opens(saved[1])
        assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(
    saved: tuple[Scam, Path], tmp_path: Path, value: float
) -> None:
    model, _ = saved
    with torch.no_grad():
        model.encoder.tokens[1, 2] = value
    with pytest.raises(InputError, match=r"encoder\.tokens: 1 of 512 values are not finite"):
        model.save_pretrained(tmp_path / "broken")
    (tmp_path / "broken").mkdir()
    write_weights(tmp_path / "broken", model.state_dict(), model.description())
    with pytest.raises(InputError, match=r"encoder\.tokens: 1 of 512 values are not finite") as no:
        Scam.from_pretrained(tmp_path / "broken")
    assert str(tmp_path / "broken" / "model.safetensors") in str(no.value)


def test_weights_of_another_precision_are_what_they_are_in_fp32(
    saved: tuple[Scam, Path],
) -> None:
    model, folder = saved
    state = model.state_dict()
    tokens = state["encoder.tokens"]
    write_weights(
        folder, state | {"encoder.tokens": tokens.to(torch.float8_e4m3fn)}, model.description()
    )
    assert Scam.from_pretrained(folder).encoder.tokens.dtype == torch.float32
    write_weights(folder, state | {"encoder.tokens": tokens.double() * 1e300}, model.description())
    with pytest.raises(InputError, match=r"encoder\.tokens: 512 of 512 values are not finite"):
        Scam.from_pretrained(folder)


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"label_names": ["a"]}, "expected 3 different names"),
        ({"trained": {"fid": float("nan")}}, "not JSON compliant"),
        ({"trained": {"path": Path("x")}}, "not JSON serializable"),
    ],
)
def test_what_could_not_be_opened_is_not_saved(
    tmp_path: Path, about: dict[str, object], words: str
) -> None:
    model = Scam(SMALL)
    model.about = about
    with pytest.raises(InputError, match=f"^about: .*{words}"):
        model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("around", ["float64", "bfloat16", "device", "default device"])
def test_a_model_opens_alike_whatever_is_set_around(saved: tuple[Scam, Path], around: str) -> None:
    model, folder = saved
    image, labels = torch.rand(1, 3, 32, 32), torch.randint(0, 3, (1, 32, 32))
    with torch.no_grad():
        expected = model(image, labels)
    try:
        if around == "default device":
            torch.set_default_device("meta")
        elif around != "device":
            torch.set_default_dtype(getattr(torch, around))
        with torch.device("meta") if around == "device" else nullcontext(), torch.no_grad():
            again = load(folder)
            assert torch.equal(again(image, labels), expected)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


def test_a_model_is_loaded_from_home_and_from_paths_only(
    saved: tuple[Scam, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(saved[1].parent))
    monkeypatch.chdir(saved[1])
    load("~/model")
    Scam.from_pretrained("~/model").save_pretrained("~/again")
    assert (saved[1].parent / "again" / "config.json").is_file()
    for call in (load, Scam.from_pretrained, saved[0].save_pretrained):
        for path in ("", None, b"model"):
            with pytest.raises(InputError, match="expected a path"):
                call(path)  # type: ignore[arg-type]


def test_arguments_of_load_are_checked(saved: tuple[Scam, Path]) -> None:
    for words, changes in (("fused='no'", {"fused": "no"}), ("device='cpux'", {"device": "cpux"})):
        with pytest.raises(InputError, match=f"^{words}: "):
            load(saved[1], **changes)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^model_card_kwargs=\['x'\]"):
        saved[0].save_pretrained(saved[1], model_card_kwargs=["x"])  # type: ignore[arg-type]
