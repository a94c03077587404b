"""Where the entries of S may be non-zero: one pattern per category, drawn, never stored.

The pattern follows from (category, n, sparse_rate, seed) alone and is the same on every machine: the numbers are raw
words of the Philox counter, which are fixed by its definition, whereas the higher-level samplers of NumPy and torch may
change with the version, and torch's with the device. Nothing of size n x n is built for the usual small rates.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frod.method.basis import Basis

Places = tuple[Tensor, Tensor]


def entries(n: int, sparse_rate: float) -> int:
    """Number of off-diagonal entries, int(sparse_rate * n^2), as the released code counts them."""
    if not 0 <= sparse_rate <= 1:
        raise ValueError(
            f"sparse_rate={sparse_rate} must lie between 0 and 1 (the released settings use 0.01 and 0.02)."
        )
    count = int(sparse_rate * n * n)
    if count > n * (n - 1):
        raise ValueError(
            f"sparse_rate={sparse_rate} asks for {count} entries, but a {n} x {n} matrix has only {n * (n - 1)} places "
            f"off the diagonal; use at most {(n - 1) / n:.6g}."
        )
    return count


def trained(n: int, sparse_rate: float, freeze: Sequence[str] = ()) -> int:
    """How many numbers a layer of width n trains: n of lambda and those of S, but for the frozen group."""
    return (0 if "scale" in freeze else n) + (0 if "rotation" in freeze else entries(n, sparse_rate))


def draw(category: str, n: int, sparse_rate: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw the pattern of a category, whose name is part of the seed: categories of equal width n differ.

    Rows and columns, int64 (k,), are distinct off-diagonal places, in row-major order.
    """
    count = entries(n, sparse_rate)
    key = hashlib.sha256(f"frod pattern 1\n{category}\n{n}\n{float(sparse_rate)!r}\n{int(seed)}".encode()).digest()
    stream = np.random.Philox(key=np.frombuffer(key[:16], dtype="<u8").astype(np.uint64))
    places = _distinct(stream, count, n * (n - 1))
    # Place p counts the n - 1 off-diagonal entries of each row, so the column skips the diagonal.
    rows, columns = np.divmod(places, max(n - 1, 1))
    columns += columns >= rows
    return rows, columns


def _distinct(stream: np.random.Philox, count: int, total: int) -> NDArray[np.int64]:
    """`count` distinct numbers below `total`, sorted: the first that a uniform stream comes by."""
    if count > total // 2:
        # Dense patterns: draw what is left out, as the last few would take for ever.
        kept = np.ones(total, dtype=bool)
        kept[_distinct(stream, total - count, total)] = False
        return np.flatnonzero(kept)
    chosen = np.empty(0, dtype=np.int64)
    mask = np.uint64((1 << max(total - 1, 0).bit_length()) - 1)
    while len(chosen) < count:
        words = stream.random_raw(2 * (count - len(chosen)) + 16) & mask
        fresh = np.concatenate([chosen, words[words < total].astype(np.int64)])
        _, first = np.unique(fresh, return_index=True)
        chosen = fresh[np.sort(first)][:count]
    return np.sort(chosen)


def draw_places(basis: Basis, sparse_rate: float, seed: int) -> dict[str, Places]:
    """The places of S per category that follow from a seed."""
    drawn = {name: draw(name, category.n, sparse_rate, seed) for name, category in basis.categories.items()}
    return {name: (torch.from_numpy(rows), torch.from_numpy(columns)) for name, (rows, columns) in drawn.items()}


def check_places(basis: Basis, patterns: Mapping[str, Places], adapted: Collection[str]) -> Mapping[str, Places]:
    """Return patterns given from outside if they are places of S of this basis; else a ValueError.

    Categories without a layer that is adapted, by canonical name, may be left out: an adapter's file has none of them.
    """
    needed = {name for name, category in basis.categories.items() if not category.layers.keys().isdisjoint(adapted)}
    if not needed <= patterns.keys() <= basis.categories.keys():
        raise ValueError(
            f"patterns are of {sorted(patterns)}, the basis has the categories {sorted(basis.categories)}, of which "
            f"{sorted(needed)} have layers to adapt: give those."
        )
    for name, (rows, columns) in patterns.items():
        n = basis.categories[name].n
        inside = all(len(t) == 0 or 0 <= int(t.min()) <= int(t.max()) < n for t in (rows, columns))
        if not inside or rows.shape != columns.shape or (rows == columns).any():
            raise ValueError(f"patterns[{name!r}] must be two lists of indices below {n} that nowhere agree.")
        if torch.unique(rows * n + columns).numel() != rows.numel():
            raise ValueError(f"patterns[{name!r}] names a place twice.")
    return patterns
