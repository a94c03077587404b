"""How many directions an update of a weight has: its rank, in three senses, from its singular values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

EPSILON = 2.0**-23
"""Of float32, in which weights and adapters are kept."""


@dataclass(frozen=True, kw_only=True)
class Rank:
    """Of one layer's update W' - W; ranks are shares of the largest there can be, min(m, n)."""

    numerical: float
    """Singular values that are more than the rounding of W."""
    strict: float
    """Those of them that numpy would count in a matrix kept in float32."""
    effective: float
    """exp of the entropy of the singular values as shares of their sum (Roy and Vetterli, 2007)."""
    stable: float
    """Squared Frobenius norm over the squared largest singular value."""
    size: float
    """Frobenius norm over that of W; nan where W is zero."""


def ranks(singular_values: ArrayLike, *, shape: tuple[int, int], weight_norm: float) -> Rank:
    """Ranks of an update.

    A singular value counts towards the numerical rank if it exceeds eps · ‖W‖, eps being float32's. Rounding W' to
    float32 changes it by at most eps / 2 · ‖W'‖ (Frobenius; within the bound while ‖W'‖ <= 2 ‖W‖), and so, by Weyl's
    inequality, any singular value of W' - W by no more: below that, rounding alone makes a value, and hides one.
    numpy's rule, max(m, n) · eps · s_1, is for a matrix whose own entries are rounded to float32; W' - W is not, so
    that it may cut what is real.

    Parameters
    ----------
    singular_values : array of shape (min(m, n),)
        Of W' - W, descending.
    shape : (m, n)
    weight_norm : float
        Frobenius norm of W.

    Raises
    ------
    ValueError
        Their number is not min(m, n), or one is negative or not finite.
    """
    import numpy as np

    values = np.asarray(singular_values, dtype=np.float64)
    full = min(shape)
    if values.shape != (full,):
        raise ValueError(
            f"singular_values has shape {values.shape}; of a {shape[0]} x {shape[1]} layer right is ({full},)"
        )
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise ValueError("singular_values holds one that is negative or not finite; make the spectrum again")
    norm = math.sqrt(float((values**2).sum()))
    size = norm / weight_norm if weight_norm > 0 else math.nan
    largest = float(values.max())
    if largest == 0:
        return Rank(numerical=0.0, strict=0.0, effective=0.0, stable=0.0, size=size)
    rounding, numpys = EPSILON * weight_norm, EPSILON * max(shape) * largest
    shares = values[values > 0] / values.sum()
    entropy = -float((shares * np.log(shares)).sum())
    return Rank(
        numerical=int((values > rounding).sum()) / full,
        strict=int((values > max(rounding, numpys)).sum()) / full,
        effective=math.exp(entropy) / full,
        stable=(norm / largest) ** 2 / full,
        size=size,
    )
