"""Predictions of a model on a prepared split, as the table that every metric is computed from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from frod import backbones
from frod.training.processes import SINGLE_PROCESS, Processes


def move(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """Copy a batch to the device."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


@torch.no_grad()
def predict(
    model: torch.nn.Module,
    data: Any,
    chosen: np.ndarray,
    *,
    split: str,
    batch_size: int,
    device: torch.device,
    processes: Processes = SINGLE_PROCESS,
) -> pd.DataFrame:
    """Run the model in evaluation mode; several processes each do a share of every batch, and all get the whole.

    Parameters
    ----------
    data : frod.tasks.arrays.Split
    chosen : ndarray of shape (examples,)
        Positions in `data`.
    split : str
        Goes into the table's column `split`.

    Returns
    -------
    DataFrame
        split, example_id, label, prediction, scores (logits in float32, or the predicted value of a regression);
        in the order of `chosen`.
    """
    training = model.training
    model.eval()
    by_length = np.argsort(data.lengths[chosen], kind="stable")  # like lengths together: little padding
    order, scores = chosen[by_length], np.empty(0)
    for start in range(0, len(order), batch_size):
        mine, counts = processes.shard(np.arange(start, min(start + batch_size, len(order))))
        batch = move(data.batch(order[mine]), device)
        batch.pop("labels")
        found = backbones.logits(model, batch).float().cpu().numpy()
        if not len(scores):
            scores = np.zeros((len(order), found.shape[1]), np.float32)
        if counts:
            scores[mine] = found
    model.train(training)
    scores = processes.all_reduce_sum(torch.from_numpy(scores)).numpy()  # what is another's is 0 here
    return as_table(data, chosen, scores[np.argsort(by_length)], split=split)


def as_table(data: Any, chosen: np.ndarray, scores: np.ndarray, *, split: str) -> pd.DataFrame:
    """Return the predictions that `scores`, float32 of shape (examples, outputs), are of; columns as in `predict`."""
    return pd.DataFrame(
        {
            "split": split,
            "example_id": data.ids[chosen],
            "label": data.labels[chosen],
            "prediction": scores[:, 0] if scores.shape[1] == 1 else scores.argmax(axis=1).astype(np.int64),
            "scores": list(scores),
        }
    )
