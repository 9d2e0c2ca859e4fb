"""Sum up the safetensors files of a checkpoint: what is in them, in which file.

Source of truth are the files' own headers. An index file must agree with them, because the
runtime finds tensors through one and a reviewer counts them through the other.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from registry.artifact.safetensors import Header, read_header
from registry.artifact.strict_json import read_json_object
from registry.errors import BadInput, Fault

INDEX_SUFFIX: Final = ".safetensors.index.json"
MAX_INDEX_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Weights:
    """Hold every shard's header, by relative path, sorted."""

    shards: tuple[tuple[str, Header], ...]

    @property
    def parameters(self) -> int:
        return sum(header.parameters for _, header in self.shards)

    @property
    def weights_bytes(self) -> int:
        return sum(header.data_bytes for _, header in self.shards)

    @property
    def parameters_by_dtype(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for _, header in self.shards:
            for tensor in header.tensors:
                counts[tensor.dtype] += tensor.parameters
        return dict(sorted(counts.items()))

    def places(self) -> dict[str, str]:
        """Map each tensor's name to the shard that holds it."""
        return {tensor.name: path for path, header in self.shards for tensor in header.tensors}


def read_weights(folder: Path) -> Weights:
    """Read the headers of all safetensors files in a folder; a folder without any is valid.

    Raises: BadInput for a bad header, a tensor in two shards, or an index that disagrees.
    """
    shards = []
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            shards.append((path.name, read_header(file, place=path.name)))
    weights = Weights(tuple(shards))
    faults = list(_repeats(weights))
    for index in sorted(folder.glob("*" + INDEX_SUFFIX)):
        faults.extend(_index_faults(index, weights.places()))
    if faults:
        raise BadInput.listing(faults, code="weights_invalid")
    return weights


def _repeats(weights: Weights) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for path, header in weights.shards:
        for tensor in header.tensors:
            first = seen.setdefault(tensor.name, path)
            if first != path:
                yield Fault(path, "weights_invalid", f"{tensor.name} is also in {first}.")


def _index_faults(index: Path, places: dict[str, str]) -> Iterator[Fault]:
    document = read_json_object(index, max_bytes=MAX_INDEX_BYTES)
    mapped: Any = document.get("weight_map")
    if not isinstance(mapped, dict):
        yield Fault(index.name, "weights_invalid", "has no weight_map.")
    elif wrong := sorted(
        n for n in mapped.keys() | places.keys() if mapped.get(n) != places.get(n)
    ):
        yield Fault(
            index.name,
            "weights_invalid",
            f"disagrees with the files about {len(wrong)} tensors, first {wrong[0]!r}.",
            "Save the checkpoint again.",
        )
