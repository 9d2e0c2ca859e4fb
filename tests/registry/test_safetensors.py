import contextlib
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from registry.artifact.safetensors import (
    MAX_HEADER_BYTES,
    MAX_TENSORS,
    TensorInfo,
    read_header,
    tensor_chunks,
)
from registry.artifact.weights import read_weights
from registry.errors import BadInput

np = pytest.importorskip("numpy")


def packed(header: bytes | dict[str, Any], data: bytes = b"") -> io.BytesIO:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return io.BytesIO(len(raw).to_bytes(8, "little") + raw + data)


def tensor(begin: int, end: int, *, dtype: str = "U8", shape: list[Any] | None = None) -> Any:
    return {
        "dtype": dtype,
        "shape": [end - begin] if shape is None else shape,
        "data_offsets": [begin, end],
    }


def refusal(file: io.BytesIO) -> str:
    with pytest.raises(BadInput) as refused:
        read_header(file, place="m.safetensors")
    assert refused.value.code == "safetensors_invalid"
    return refused.value.detail


def test_a_file_of_the_library_is_read_as_it_was_written(tmp_path: Path) -> None:
    arrays = {
        "b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a": np.arange(4, dtype=np.int8),
        "scalar": np.array(7, dtype=np.int64),
        "empty": np.zeros((0, 5), dtype=np.float16),
    }
    path = tmp_path / "m.safetensors"
    safetensors.numpy.save_file(arrays, path, metadata={"format": "np"})

    with path.open("rb") as file:
        header = read_header(file)
        read_back = {
            item.name: b"".join(tensor_chunks(file, header, item, chunk_bytes=5))
            for item in header.tensors
        }

    assert {t.name: (t.shape, t.size_bytes) for t in header.tensors} == {
        name: (array.shape, array.nbytes) for name, array in arrays.items()
    }
    assert read_back == {name: array.tobytes() for name, array in arrays.items()}
    assert header.parameters == 6 + 4 + 1 + 0
    assert header.metadata == {"format": "np"}


def test_tensors_come_in_the_order_of_their_data() -> None:
    header = read_header(packed({"z": tensor(0, 2), "a": tensor(2, 3)}, b"xyz"))

    assert header.tensors == (
        TensorInfo("z", "U8", (2,), 0, 2),
        TensorInfo("a", "U8", (1,), 2, 3),
    )


def test_a_dtype_of_less_than_a_byte_is_counted_in_bits() -> None:
    header = read_header(packed({"a": tensor(0, 2, dtype="F4", shape=[4])}, b"xy"))

    assert header.parameters == 4


@pytest.mark.parametrize(
    ("header", "data", "says"),
    [
        ({"a": tensor(1, 2)}, b"xy", "a hole"),
        ({"a": tensor(0, 2), "b": tensor(1, 3)}, b"xyz", "an overlap"),
        ({"a": tensor(0, 2), "b": tensor(0, 2)}, b"xy", "an overlap"),
        ({"a": tensor(0, 1)}, b"xy", "holds 2"),
        ({"a": tensor(0, 3)}, b"xy", "holds 2"),
        ({"a": tensor(0, 2, dtype="F32", shape=[1])}, b"xy", "another number of bytes"),
        ({"a": tensor(0, 1, shape=[2**62, 4])}, b"x", "not a short list"),
        ({"a": tensor(0, 1, shape=[-1])}, b"x", "not a short list"),
        ({"a": tensor(0, 1, shape=[True])}, b"x", "not a short list"),
        ({"a": tensor(0, 1, shape=[1.0])}, b"x", "not a short list"),
        ({"a": tensor(0, 1, shape=[1] * 17)}, b"x", "not a short list"),
        ({"a": tensor(2, 1, shape=[1])}, b"x", "another number of bytes"),
        ({"a": tensor(0, 1, dtype="F128")}, b"x", "not known"),
        ({"a": {**tensor(0, 1), "more": 1}}, b"x", "exactly dtype"),
        ({"a": 1}, b"", "exactly dtype"),
        ({"__metadata__": {"a": 1}}, b"", "__metadata__"),
        (b'{"a":1,"a":2}', b"", "repeats a key"),
        (b'{"a":{"dtype":"U8","dtype":"U8"}}', b"", "repeats a key"),
        (b'{"a":NaN}', b"", "NaN"),
        (b' {"a":1}', b"", "begin with"),
        (b"[]", b"", "begin with"),
        (b"{", b"", "not JSON"),
        (b'{"\xff":1}', b"", "not JSON"),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", b"", "not JSON"),
        (b'{"a":' + b"9" * 5000 + b"}", b"", "not JSON"),
    ],
)
def test_a_lying_header_is_refused(header: Any, data: bytes, says: str) -> None:
    assert says in refusal(packed(header, data))


def test_a_header_longer_than_the_file_is_refused_before_it_is_read() -> None:
    assert "has only 9 bytes" in refusal(io.BytesIO((100).to_bytes(8, "little") + b"{"))


@pytest.mark.parametrize("length", [MAX_HEADER_BYTES + 1, 2**63, 2**64 - 1])
def test_a_huge_header_is_refused_before_it_is_read(length: int) -> None:
    assert "at most" in refusal(io.BytesIO(length.to_bytes(8, "little") + b"{}"))


def test_a_file_shorter_than_the_length_field_is_refused() -> None:
    assert "shorter than" in refusal(io.BytesIO(b"\x00" * 7))


def test_more_tensors_than_the_limit_are_refused() -> None:
    header = {f"t{number}": tensor(0, 0) for number in range(MAX_TENSORS + 1)}

    assert "more than 200000 tensors" in refusal(packed(header))


@pytest.fixture(scope="module")
def sound() -> bytes:
    header = {"__metadata__": {"format": "pt"}, "a": tensor(0, 4), "b": tensor(4, 6)}
    return packed(header, b"abcdef").getvalue()


@given(st.data())
def test_a_damaged_file_gives_the_declared_error_or_a_sound_header(data: st.DataObject) -> None:
    base = bytearray(
        packed(
            {"__metadata__": {"f": "pt"}, "a": tensor(0, 4), "b": tensor(4, 6)}, b"abcdef"
        ).getvalue()
    )
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    for _ in range(rng.randrange(1, 6)):
        base[rng.randrange(len(base))] = rng.randrange(256)

    with contextlib.suppress(BadInput):
        header = read_header(io.BytesIO(bytes(base)))
        assert header.data_start + header.data_bytes == len(base)


@pytest.mark.parametrize("cut", range(0, 40, 3))
def test_a_file_cut_anywhere_is_refused(sound: bytes, cut: int) -> None:
    refusal(io.BytesIO(sound[: len(sound) - 1 - cut]))


def test_the_shards_of_a_folder_are_summed(tmp_path: Path) -> None:
    safetensors.numpy.save_file({"a": np.zeros((2, 3), np.float32)}, tmp_path / "x.safetensors")
    safetensors.numpy.save_file({"b": np.zeros(5, np.int8)}, tmp_path / "y.safetensors")

    weights = read_weights(tmp_path)

    assert weights.parameters == 11
    assert weights.weights_bytes == 29
    assert weights.parameters_by_dtype == {"F32": 6, "I8": 5}
    assert weights.places() == {"a": "x.safetensors", "b": "y.safetensors"}


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    for name in ("x", "y"):
        safetensors.numpy.save_file({"a": np.zeros(1)}, tmp_path / f"{name}.safetensors")

    with pytest.raises(BadInput, match=r"a is also in x\.safetensors"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ({"weight_map": {"a": "other.safetensors"}}, "first 'a'"),
        ({"weight_map": {}}, "1 tensors"),
        ({"weight_map": {"a": "x.safetensors", "ghost": "x.safetensors"}}, "first 'ghost'"),
        ({}, "no weight_map"),
    ],
)
def test_an_index_that_disagrees_with_the_files_is_refused(
    tmp_path: Path, index: dict[str, Any], says: str
) -> None:
    safetensors.numpy.save_file({"a": np.zeros(1)}, tmp_path / "x.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))

    with pytest.raises(BadInput, match=says):
        read_weights(tmp_path)


def test_an_index_that_agrees_is_accepted(tmp_path: Path) -> None:
    safetensors.numpy.save_file({"a": np.zeros(1)}, tmp_path / "x.safetensors")
    index = {"weight_map": {"a": "x.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))

    assert read_weights(tmp_path).parameters == 1
