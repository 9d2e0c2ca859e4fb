"""What is measured of one pair of tensors, and its JSON form for a run that goes on later."""

import base64
from dataclasses import asdict, dataclass, field
from math import prod
from typing import Any, Final, Literal

import numpy as np

from registry.artifact.forensics.dtypes import F32
from registry.artifact.forensics.names import Side

# Columns of the Gaussian matrix that a change is seen through.
SKETCH: Final = 16

Status = Literal[
    "identical",  # byte for byte
    "recast",  # equal but for the rounding of the other dtype
    "scaled",  # a multiple of the base
    "changed",
    "small",  # changed, and too narrow for a spectrum
    "not_finite",
    "opaque",  # changed, and in a form that is not read, such as packed 4-bit integers
]


@dataclass(slots=True)
class Grid:
    """Say whether sampled rows lie on a grid: `levels` for each row or group; 0 when on none."""

    levels: int = 0
    group: int = 0
    excess: float = 0.0


@dataclass(slots=True)
class Record:
    """Hold the measurements of one tensor; energies are relative to the base's, squared norms.

    `alpha`: the multiple of the base in the difference, taken out before all that follows.
    `singular`: leading singular values of the difference, relative to the base's norm.
    `edge`: the largest singular value that noise of the residual's energy would have.
    `rank`: number of singular values beyond the edge; `share`: their part of the energy.
    `rounding`: energy that rounding to the derived dtype explains, relative to the residual's.
    `consistency`, `strength`: of the best direction of the stream, see `consistency.py`.
    `held`: the consistency that is left when the base's strongest directions are left out; None
    where nobody asked.
    """

    name: str
    kind: str
    layer: int | None
    side: Side
    status: Status
    shape: tuple[int, ...]
    dtypes: tuple[str, str]
    energy: float = 0.0
    alpha: float = 0.0
    cosine: float = 1.0
    norm_ratio: float = 1.0
    unchanged: float = 1.0
    zeros_added: float = 0.0
    mask_bias: float = 0.0
    effective_rank: float = 0.0
    rank: int = 0
    share: float = 0.0
    cliff: float = 0.0
    rounding: float = 0.0
    edge: float = 0.0
    singular: list[float] = field(default_factory=list)
    consistency: float = 0.0
    strength: float = 0.0
    held: float | None = None
    alignment: float = 0.0
    grid: Grid = field(default_factory=Grid)
    direction: F32 | None = None

    @property
    def parameters(self) -> int:
        return prod(self.shape)

    def to_json(self) -> dict[str, Any]:
        """Give the plain form; the direction is base64 of little-endian float32."""
        plain = {name: value for name, value in asdict(self).items() if name != "direction"}
        if self.direction is not None:
            raw = self.direction.astype("<f4").tobytes()
            plain["direction"] = base64.b64encode(raw).decode()
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> "Record":
        """Read the plain form.

        Raises: TypeError, ValueError or KeyError for anything else.
        """
        values = dict(plain)
        raw = values.pop("direction", None)
        values["grid"] = Grid(**values["grid"])
        values["shape"], values["dtypes"] = tuple(values["shape"]), tuple(values["dtypes"])
        found = cls(**values)
        if raw is not None:
            found.direction = np.frombuffer(base64.b64decode(raw), dtype="<f4").copy()
        return found
