"""Only approved bytes are loaded, and every refusal names the file."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.loader import CheckpointUnusable, load_model
from inference.models.config import NemotronHConfig
from inference.models.nemotron_h import NemotronH
from tests.inference.test_engine import CONFIG


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(1)
    model = NemotronH(NemotronHConfig.from_dict(CONFIG))
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    names = sorted(tensors)
    half = len(names) // 2
    save_file({name: tensors[name] for name in names[:half]}, tmp_path / "a.safetensors")
    save_file({name: tensors[name] for name in names[half:]}, tmp_path / "b.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def digests(folder):
    files = (path for path in folder.iterdir() if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_sharded_approved_bytes_load(folder):
    model = load_model(folder, digests=digests(folder))

    assert model(torch.tensor([[1, 2, 3]])).shape == (1, 3, 64)


def test_one_changed_byte_is_refused_by_name(folder):
    approved = digests(folder)
    data = bytearray((folder / "b.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "b.safetensors").write_bytes(data)

    with pytest.raises(CheckpointUnusable, match=r"b\.safetensors has SHA-256"):
        load_model(folder, digests=approved)


def test_a_file_that_nobody_approved_is_refused(folder):
    approved = digests(folder)
    del approved["a.safetensors"]

    with pytest.raises(CheckpointUnusable, match="no such file"):
        load_model(folder, digests=approved)


def test_a_missing_tensor_is_named(folder):
    (folder / "b.safetensors").unlink()

    with pytest.raises(CheckpointUnusable, match="Missing"):
        load_model(folder)


def test_a_pickle_beside_the_weights_is_refused(folder):
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")

    with pytest.raises(CheckpointUnusable, match=r"pytorch_model\.bin can hold a pickle"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"auto_map": {"AutoModel": "x.Y"}}, "auto_map"),
        ({"architectures": ["Other"]}, "architectures"),
        ({"hidden_size": 48}, "another shape"),
    ],
)
def test_a_config_that_cannot_be_right_is_refused(folder, change, said):
    (folder / "config.json").write_text(json.dumps({**CONFIG, **change}))

    with pytest.raises(CheckpointUnusable, match=said):
        load_model(folder)


def test_bf16_keeps_the_recurrence_in_fp32(folder):
    model = load_model(folder, dtype="bf16")

    kinds = {name: parameter.dtype for name, parameter in model.named_parameters()}
    assert kinds["backbone.layers.0.mixer.A_log"] == torch.float32
    assert kinds["backbone.layers.0.mixer.in_proj.weight"] == torch.bfloat16


def change_tensor(folder, change):
    tensors = load_file(folder / "b.safetensors")
    name = sorted(tensors)[0]
    tensors[name] = change(tensors[name])
    save_file(tensors, folder / "b.safetensors")
    return name


def test_quantised_weights_are_refused_rather_than_read_without_their_scales(folder):
    name = change_tensor(folder, lambda tensor: tensor.to(torch.int8))

    with pytest.raises(CheckpointUnusable, match=rf"{name} is torch\.int8"):
        load_model(folder)


def test_weights_that_are_no_numbers_are_refused(folder):
    name = change_tensor(folder, lambda tensor: tensor * torch.nan)

    with pytest.raises(CheckpointUnusable, match=rf"{name} holds values that are not finite"):
        load_model(folder)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[]"])
def test_a_config_that_is_no_object_is_refused_by_name(folder, text):
    (folder / "config.json").write_text(text)

    with pytest.raises(CheckpointUnusable, match=r"config\.json is not"):
        load_model(folder)


def test_a_file_cut_short_is_refused_by_name(folder):
    data = (folder / "a.safetensors").read_bytes()
    (folder / "a.safetensors").write_bytes(data[:-5])

    with pytest.raises(CheckpointUnusable, match=r"a\.safetensors is not a safetensors file"):
        load_model(folder)


def test_a_tensor_in_two_files_is_refused(folder):
    save_file(load_file(folder / "b.safetensors"), folder / "c.safetensors")

    with pytest.raises(CheckpointUnusable, match="is in another file too"):
        load_model(folder)


def test_an_unknown_tensor_is_named(folder):
    save_file({"backbone.extra": torch.zeros(2)}, folder / "c.safetensors")

    with pytest.raises(CheckpointUnusable, match=r"unknown \['backbone\.extra'\]"):
        load_model(folder)


def test_both_prefixes_load_the_same_model(folder):
    before = load_model(folder)(torch.tensor([[1, 2, 3]]))
    for file in ("a.safetensors", "b.safetensors"):
        renamed = {
            name.replace("backbone.", "model.", 1): tensor
            for name, tensor in load_file(folder / file).items()
        }
        save_file(renamed, folder / file)

    assert torch.equal(load_model(folder)(torch.tensor([[1, 2, 3]])), before)
