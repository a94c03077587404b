"""Which examples are in which split: stratified by class, drawn by seed, the same on every machine.

An example's place in the draw is a hash of (seed, purpose, its id), not a random generator's next number: it does not
change with the library's version, nor with the order of the rows.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stratified(labels: np.ndarray, ids: np.ndarray, rows: int, *, seed: int, purpose: str) -> np.ndarray:
    """Draw examples so that each class keeps its share.

    Parameters
    ----------
    labels, ids : ndarray of shape (examples,), integers
    rows : int
        How many to draw.
    seed, purpose
        Draws of another seed or purpose are independent.

    Returns
    -------
    ndarray of shape (rows,)
        Positions, in ascending order.

    Raises
    ------
    ValueError
        There are fewer examples than asked for, or ids repeat.
    """
    if not 0 <= rows <= len(labels):
        raise ValueError(f"{purpose}: {rows} examples asked for, there are {len(labels)}; give it fewer `rows`")
    if len(np.unique(ids)) != len(ids):
        raise ValueError(f"{purpose}: example ids repeat ({len(ids)} examples, {len(np.unique(ids))} ids)")
    keys = np.array([_place(seed, purpose, int(i)) for i in ids], dtype=np.uint64)
    chosen = []
    for label, share in zip(*_shares(labels, rows)):
        members = np.flatnonzero(labels == label)
        # Equal hashes of 64 bits: the smaller id goes first, so that the draw never depends on the order of rows.
        chosen.append(members[np.lexsort((ids[members], keys[members]))][:share])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _shares(labels: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """How many of each class: the exact share rounded down, what is left to the largest remainders."""
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * rows / max(len(labels), 1)
    shares = np.floor(exact).astype(int)
    largest = np.lexsort((classes, -(exact - shares)))
    shares[largest[: rows - shares.sum()]] += 1
    return classes, shares


def _place(seed: int, purpose: str, example: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}/{example}".encode()).digest()[:8], "little")
