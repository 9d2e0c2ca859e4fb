"""Turn the stored bytes of a tensor into float32 numbers, exactly where float32 can hold them.

Source: the safetensors format (little-endian), OCP 8-bit floating point for E4M3 and E5M2, and for
scales: this project's int8 layers (`scale`), compressed-tensors (`weight_scale`), block-scaled
fp8 (`weight_scale_inv`) and bitsandbytes (`SCB`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

READABLE: Final = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
QUANTISED: Final = frozenset({"I8", "F8_E4M3", "F8_E5M2"})
# A scale beside `x.weight` is named by one of these; the factor turns it into a multiplier.
SCALE_SUFFIXES: Final = {
    "weight_scale": 1.0,
    "weight_scale_inv": 1.0,
    "scale": 1.0,
    "SCB": 1.0 / 127.0,
}
MANTISSA_BITS: Final = {"F64": 23, "F32": 23, "F16": 10, "BF16": 7, "F8_E4M3": 3, "F8_E5M2": 2}


@dataclass(frozen=True, slots=True)
class Scale:
    """Multiply a matrix by blocks: `values` (a, b) each stand for `rows` x `columns` entries."""

    values: F32
    rows: int
    columns: int

    def apply(self, block: F32, first_row: int) -> None:
        """Scale, in place, the rows of a matrix that begin at `first_row`."""
        rows = (first_row + np.arange(block.shape[0])) // self.rows
        factors = self.values[rows]
        if factors.shape[1] > 1:
            factors = np.repeat(factors, self.columns, axis=1)[:, : block.shape[1]]
        block *= factors


def scale_for(values: F32, shape: tuple[int, ...]) -> Scale | None:
    """Fit the values of a scale tensor to a matrix: one, one for each row, or by blocks.

    Returns None where their number does not fit the shape.
    """
    rows, columns = shape
    if values.size == 1:
        return Scale(values.reshape(1, 1), rows, columns)
    if values.size == rows and values.ndim in (1, 2) and values.shape[0] == rows:
        return Scale(values.reshape(rows, 1), 1, columns)
    if values.ndim != 2:
        return None
    high, wide = -(-rows // values.shape[0]), -(-columns // values.shape[1])
    fits = -(-rows // high) == values.shape[0] and -(-columns // wide) == values.shape[1]
    return Scale(values, high, wide) if fits else None


def widen(raw: U8, dtype: str, out: F32) -> None:
    """Write the numbers that `raw` holds to `out`, which has room for exactly them."""
    if dtype == "BF16":
        bits = out.view(np.uint32)
        np.copyto(bits, raw.view("<u2"))
        np.left_shift(bits, 16, out=bits)
    elif dtype == "F32":
        np.copyto(out, raw.view("<f4"))
    elif dtype == "F16":
        np.copyto(out, raw.view("<f2"))
    elif dtype == "F64":
        np.copyto(out, raw.view("<f8"), casting="same_kind")
    elif dtype == "I8":
        np.copyto(out, raw.view("i1"))
    else:
        np.take(_TABLES[dtype], raw, out=out)


def rounded(values: F32, dtype: str) -> F32 | None:
    """Round to the nearest number of a floating dtype, ties to even; None for other dtypes."""
    if dtype in ("F32", "F64"):
        return values
    if dtype == "F16":
        return values.astype(np.float16).astype(np.float32)
    if dtype == "BF16":
        bits = values.view(np.uint32)
        nudged = bits + 0x7FFF + ((bits >> 16) & 1)
        return (nudged & np.uint32(0xFFFF0000)).view(np.float32)
    return None


def rounding_energy(values: F32, dtype: str) -> float:
    """Sum the variance, step squared over 12, that rounding to a dtype gives such values."""
    powers = (values.view(np.uint32) & np.uint32(0x7F800000)).view(np.float32)
    step = 2.0 ** -MANTISSA_BITS.get(dtype, 23)
    return float(np.dot(powers.ravel(), powers.ravel())) * step * step / 12.0


def _e4m3() -> F32:
    code = np.arange(256)
    exponent, mantissa = (code >> 3) & 15, code & 7
    normal = (1 + mantissa / 8) * 2.0 ** (exponent - 7.0)
    value = np.where(exponent == 0, mantissa * 2.0**-9, normal)
    value = np.where((code & 0x7F) == 0x7F, np.nan, value)
    return np.where(code >= 128, -value, value).astype(np.float32)


def _e5m2() -> F32:
    return (np.arange(256, dtype=np.uint16) << 8).view(np.float16).astype(np.float32)


_TABLES: Final = {"F8_E4M3": _e4m3(), "F8_E5M2": _e5m2()}
