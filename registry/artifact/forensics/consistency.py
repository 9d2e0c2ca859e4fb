"""Ask of a change whether it is a linear map of what the matrix wrote before.

Ablating a direction r of the residual stream turns W into (I - s r r^T) W, so r^T X = -s r^T W:
in that direction the change is a multiple of what was there. Training has no reason to do that: its
change of a direction is a sum over inputs, unrelated to the row it meets. The fraction of the
change that such a map explains is called consistency; that multiple is the strength.

For Q an orthonormal basis (d, q) of the leading left space of X, the least squares map
M = (Q^T X)(Q^T B)^+ is q by q. Its leading left singular vectors are the candidates. A change
unrelated to B has a consistency of about q / n by chance, which is taken off.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from registry.artifact.forensics.dtypes import F32

F64 = NDArray[np.float64]

# Enough columns for each predictor, so that chance explains at most 1/16.
_COLUMNS_EACH: Final = 16
_RIDGE: Final = 1e-9
# A direction weaker than this is no candidate beside a stronger one.
_WEAK: Final = 0.05


def best_direction(
    basis: F64, changed: NDArray[np.floating], before: NDArray[np.floating]
) -> tuple[float, float, F32]:
    """Return (consistency 0 to 1, strength, unit direction) of the most consistent direction.

    `basis` (d, q) is orthonormal, in order of weight; `changed` and `before` (q, n) are the change
    and the base seen through it.
    """
    q = min(basis.shape[1], max(1, changed.shape[1] // _COLUMNS_EACH))
    x, b = changed[:q].astype(np.float64), before[:q].astype(np.float64)
    gram = b @ b.T
    ridge = _RIDGE * float(np.trace(gram)) / q + 1e-300
    fit = np.linalg.solve(gram + ridge * np.eye(q), b @ x.T).T
    left, strengths, _ = np.linalg.svd(fit)
    chance = q / x.shape[1]
    best = (0.0, 0.0, 0)
    for index in range(q):
        strength = float(strengths[index])
        if strength < _WEAK and index:
            break
        wanted = left[:, index] @ x
        power = float(wanted @ wanted)
        if power <= 0:
            continue
        rest = wanted - left[:, index] @ fit @ b
        explained = 1.0 - float(rest @ rest) / power
        consistency = max(0.0, (explained - chance) / (1.0 - chance))
        if consistency * min(1.0, strength) > best[0] * min(1.0, best[1]):
            best = (consistency, strength, index)
    direction = basis[:, :q] @ left[:, best[2]]
    return best[0], best[1], direction.astype(np.float32)
