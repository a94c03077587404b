"""The epoch that was best on the evaluation split itself: what the released protocol reports besides the last.

Chosen after seeing the split it is reported on, so its figure is too good; the audited protocol has none of this.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

from frod.evaluation.metrics import BEST_EPOCH


class BestEpoch:
    """Keeps the predictions of the best epoch so far; of equal ones the first.

    `table_of` makes predictions of test from scores, float32 of shape (examples, outputs), and of a generation `texts`.
    """

    def __init__(self, table_of: Callable[..., pd.DataFrame]) -> None:
        self.table_of = table_of
        self.value = -math.inf
        self.epochs_seen = 0
        self.epoch = 0
        self.table: pd.DataFrame | None = None

    def offer(self, value: float, table: pd.DataFrame) -> None:
        """Take an epoch's predictions of test, of which `value` is the primary metric (an undefined one never wins)."""
        self.epochs_seen += 1
        if self.table is None or value > self.value:
            self.value, self.epoch = (-math.inf if math.isnan(value) else value), self.epochs_seen
            self.table = table.assign(split=BEST_EPOCH)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as numbers and tensors; the table's rows are those of the whole test split."""
        scores = None if self.table is None else torch.from_numpy(np.stack(self.table["scores"].tolist()))
        texts = None if self.table is None or "text" not in self.table else self.table["text"].tolist()
        kept = {"value": self.value, "epochs_seen": self.epochs_seen, "epoch": self.epoch}
        return kept | {"scores": scores, "texts": texts}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.value, self.epochs_seen, self.epoch = state["value"], state["epochs_seen"], state["epoch"]
        if state["scores"] is None:
            self.table = None
        else:
            self.table = self.table_of(state["scores"].numpy(), texts=state["texts"]).assign(split=BEST_EPOCH)
