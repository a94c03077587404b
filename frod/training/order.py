"""The budget of a run: how many steps, and which examples in which order. The same for every method of one seed."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from frod.config import Training
from frod.training.seeds import stream


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What one run may use."""

    steps: int
    """Optimiser steps."""
    steps_per_epoch: int
    batch_size: int
    """Examples of one step; the last of an epoch may have fewer."""
    accumulation: int
    epochs: float
    train_examples: int
    """Different examples."""
    examples: int
    """Examples seen, repetitions counted."""
    order_sha256: str
    """Digest of the example numbers in the order in which they are seen."""


WINDOW = 50  # batches that are sorted by length together: enough for little padding, few enough to stay random


def plan(
    train_examples: int, training: Training, seed: int, lengths: np.ndarray | None = None
) -> tuple[Budget, list[np.ndarray]]:
    """Lay down the order of the examples.

    Parameters
    ----------
    lengths : int array of shape (train_examples,), optional
        Tokens of each example, for `training.group_by_length`.

    Returns
    -------
    budget : Budget
    batches : list of ndarray of shape (<= batch_size,)
        Positions in the training examples, one array a step; each epoch is a new permutation.
    """
    if train_examples < 1:
        raise ValueError("the training split has no examples")
    rng = np.random.Generator(np.random.PCG64(stream(seed, "order")))
    per_epoch = math.ceil(train_examples / training.batch_size)
    steps = max(1, round(training.epochs * per_epoch))
    if not training.group_by_length or lengths is None or len(np.unique(lengths)) == 1:
        lengths = None  # there is nothing to group by
    batches: list[np.ndarray] = []
    while len(batches) < steps:
        permutation = rng.permutation(train_examples)
        if lengths is not None:
            # Windows of the random order, each sorted by length: neighbours are alike, and others in each epoch.
            window = WINDOW * training.batch_size
            parts = [permutation[i : i + window] for i in range(0, train_examples, window)]
            permutation = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in parts])
        epoch = [permutation[i : i + training.batch_size] for i in range(0, train_examples, training.batch_size)]
        batches += [epoch[i] for i in rng.permutation(len(epoch))] if lengths is not None else epoch
    batches = batches[:steps]
    seen = np.concatenate(batches).astype("<i8")
    budget = Budget(
        steps=steps,
        steps_per_epoch=per_epoch,
        batch_size=training.batch_size,
        accumulation=training.accumulation,
        epochs=training.epochs,
        train_examples=train_examples,
        examples=len(seen),
        order_sha256=hashlib.sha256(seen.tobytes()).hexdigest(),
    )
    return budget, batches
