"""Only approved bytes are loaded, and every refusal names the file."""

import hashlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.loader import CheckpointUnusable, load_model
from inference.shards import Progress
from tests.inference.tiny_model import CONFIG, write_checkpoint


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path):
    return write_checkpoint(tmp_path, CONFIG, shards=2)


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

    with pytest.raises(CheckpointUnusable, match=rf"{name} is I8"):
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

    with pytest.raises(CheckpointUnusable, match=r"a\.safetensors describes .* but holds"):
        load_model(folder)


def test_a_tensor_in_two_files_is_refused(folder):
    save_file(load_file(folder / "b.safetensors"), folder / "c.safetensors")

    with pytest.raises(CheckpointUnusable, match="is also in b\\.safetensors"):
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


def write_index(folder, **moved):
    places = {
        name: file
        for file in ("a.safetensors", "b.safetensors")
        for name in load_file(folder / file)
    }
    document = {"metadata": {}, "weight_map": {**places, **moved}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(document))


def test_shards_that_agree_with_their_index_load(folder):
    write_index(folder)

    assert load_model(folder, digests=digests(folder)).backbone.norm_f.weight.shape == (32,)


def test_a_shard_that_the_index_knows_and_the_folder_lacks_is_refused(folder):
    write_index(folder)
    (folder / "b.safetensors").unlink()

    with pytest.raises(CheckpointUnusable, match=r"index\.json: disagrees with the files"):
        load_model(folder)


def test_a_shard_that_the_index_does_not_know_is_refused(folder):
    write_index(folder)
    save_file({"backbone.extra": torch.zeros(2)}, folder / "c.safetensors")

    with pytest.raises(CheckpointUnusable, match=r"disagrees .* first 'backbone\.extra'"):
        load_model(folder)


def test_an_index_that_puts_a_tensor_elsewhere_is_refused(folder):
    write_index(folder, **{"lm_head.weight": "a.safetensors"})

    with pytest.raises(CheckpointUnusable, match=r"disagrees .* first 'lm_head\.weight'"):
        load_model(folder)


def test_an_index_that_nobody_approved_is_refused(folder):
    approved = digests(folder)
    write_index(folder)

    with pytest.raises(CheckpointUnusable, match=r"index\.json has SHA-256 .* no such file"):
        load_model(folder, digests=approved)


def test_bytes_that_are_wrong_in_two_ways_are_first_of_all_not_approved(folder):
    approved = digests(folder)
    change_tensor(folder, lambda tensor: tensor * torch.nan)

    with pytest.raises(CheckpointUnusable, match=r"b\.safetensors has SHA-256"):
        load_model(folder, digests=approved)


def test_one_tensor_under_two_prefixes_is_refused(folder):
    save_file({"model.norm_f.weight": torch.ones(32)}, folder / "c.safetensors")

    with pytest.raises(CheckpointUnusable, match="there twice, under two names"):
        load_model(folder)


def tie(folder, head):
    """Rewrite the checkpoint with tied embeddings; `head` is its lm_head.weight, or None."""
    tensors = load_file(folder / "a.safetensors") | load_file(folder / "b.safetensors")
    table, _ = tensors["backbone.embeddings.weight"], tensors.pop("lm_head.weight")
    if head is not None:
        tensors["lm_head.weight"] = head(table).clone()
    (folder / "b.safetensors").unlink()
    save_file(tensors, folder / "a.safetensors")
    (folder / "config.json").write_text(json.dumps({**CONFIG, "tie_word_embeddings": True}))


@pytest.mark.parametrize("head", [None, lambda table: table], ids=["absent", "the same"])
def test_a_tied_head_is_the_embedding(folder, head):
    tie(folder, head)
    model = load_model(folder)

    assert model.lm_head.weight is model.backbone.embeddings.weight
    assert model(torch.tensor([[1, 2, 3]])).shape == (1, 3, 64)


def test_a_tied_head_that_is_not_the_embedding_is_refused(folder):
    tie(folder, lambda table: table + 1)

    with pytest.raises(CheckpointUnusable, match="differs from the embeddings"):
        load_model(folder)


RESPELT = {
    "mamba_num_groups": "n_groups",
    "mamba_state_dim": "ssm_state_size",
    "attention_head_dim": "head_dim",
    "mamba_d_conv": "conv_kernel",
    "mamba_chunk_size": "chunk_size",
    "rms_norm_eps": "layer_norm_epsilon",
}


@pytest.mark.parametrize("kinds", [("mamba", "attention"), ("linear_attention", "full_attention")])
@pytest.mark.parametrize("key", ["layers_block_type", "layer_types"])
def test_every_spelling_of_a_config_loads_the_same_model(folder, kinds, key):
    before = load_model(folder)(torch.tensor([[1, 2, 3]]))
    words = {"M": kinds[0], "*": kinds[1], "-": "mlp"}
    respelt = {name: CONFIG[name] for name in CONFIG if name not in RESPELT.values()}
    respelt |= {new: CONFIG[old] for new, old in RESPELT.items() if old in CONFIG}
    respelt[key] = [words[letter] for letter in respelt.pop("hybrid_override_pattern")]
    (folder / "config.json").write_text(json.dumps(respelt))

    assert torch.equal(load_model(folder)(torch.tensor([[1, 2, 3]])), before)


def test_the_config_that_transformers_writes_today_loads(folder):
    transformers = pytest.importorskip("transformers")
    before = load_model(folder)(torch.tensor([[1, 2, 3]]))
    sizes = {name: value for name, value in CONFIG.items() if name != "architectures"}
    theirs = transformers.NemotronHConfig(**sizes, architectures=["NemotronHForCausalLM"])
    theirs.save_pretrained(folder)
    assert "hybrid_override_pattern" not in json.loads((folder / "config.json").read_text())

    assert torch.equal(load_model(folder)(torch.tensor([[1, 2, 3]])), before)


def test_a_device_is_where_every_weight_goes(folder):
    model = load_model(folder, device="meta")

    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_model_on_the_gpu_says_what_it_says_on_the_cpu(folder):
    ids = torch.tensor([[1, 2, 3]])
    there = load_model(folder, digests=digests(folder), device="cuda")(ids.cuda()).cpu()

    assert torch.allclose(there, load_model(folder)(ids), atol=1e-3)


def test_a_long_load_says_how_far_it_is(folder, caplog):
    caplog.set_level(logging.INFO, logger="inference.shards")
    progress = Progress(3 * 2**30, every_seconds=0)
    progress.add(2**30)
    load_model(folder)

    assert "read 1.00 of 3.00 GiB of weights in 0.0 s" in caplog.messages
    assert caplog.messages[-1].startswith("read 0.00 of 0.00 GiB")


# VmHWM is of this process alone, from its exec on; ru_maxrss would begin with the parent's.
PEAK = """
import json, sys
from pathlib import Path
from inference.loader import load_model
def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))
# What torch imports at its first tensor of each kind is not the load's.
load_model(Path(sys.argv[4]), dtype=sys.argv[3])
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
digests = json.loads(sys.argv[2])
model = load_model(Path(sys.argv[1]), digests=digests, dtype=sys.argv[3])
print(status("VmHWM") - before, sum(t.nbytes for t in model.state_dict().values()))
"""
LARGE = {**CONFIG, "vocab_size": 20_000, "hidden_size": 512, "intermediate_size": 6144}
LARGE |= {"hybrid_override_pattern": "M*-----", "head_dim": 32}
SLACK_BYTES = 16 << 20


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A checkpoint of two shards, about 200 MB."""
    return write_checkpoint(tmp_path_factory.mktemp("large"), LARGE, shards=2)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
def test_a_load_needs_the_model_and_less_than_one_shard_more(large, folder, dtype):
    approved = json.dumps(digests(large))
    command = [sys.executable, "-c", PEAK, str(large), approved, dtype, str(folder)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    peak, weights = map(int, done.stdout.split())
    shard = max(path.stat().st_size for path in large.glob("*.safetensors"))

    assert weights > 45 << 20
    assert peak < weights + shard + SLACK_BYTES
