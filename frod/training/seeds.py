"""Separate streams of random numbers from one seed, so that a change in one does not shift another.

Streams: head (its initial values), adapter (initial values of an adapter, FRoD's sparse pattern), order (of the
examples), dropout, and subset (which examples are kept where a suite caps them; from the split's seed, not the run's).
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, name: str) -> int:
    """Return the seed of a named stream: 63 bits of sha256, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little") >> 1


def subset(labels: np.ndarray, most: int | None, seed: int) -> np.ndarray:
    """Choose at most `most` examples (None: all), each class in its share, in ascending order.

    Labels, of shape (examples,), are classes, or real values: then the choice is not stratified.
    """
    if most is None or most >= len(labels):
        return np.arange(len(labels))
    shuffled = np.random.Generator(np.random.PCG64(stream(seed, "subset"))).permutation(len(labels))
    if not np.issubdtype(labels.dtype, np.integer):
        return np.sort(shuffled[:most])
    # Sorting by the rank of an example within its class, as a share of the class, takes from all classes alike.
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.sort(shuffled[np.argsort(rank[shuffled], kind="stable")[:most]])
