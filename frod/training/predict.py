"""Predictions of a model on a prepared split, as the table that every metric is computed from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from frod import backbones
from frod.tasks.arrays import Scored
from frod.training.processes import SINGLE_PROCESS, Processes
from frod.training.scoring import log_likelihoods
from frod.training.writing import Writing, answer_losses


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
    writing: Writing | None = None,
) -> pd.DataFrame:
    """Run the model in evaluation mode; several processes each do a share of every batch, and all get the whole.

    Parameters
    ----------
    data : frod.tasks.arrays.Split
    chosen : ndarray of shape (examples,)
        Positions in `data`.
    split : str
        Goes into the table's column `split`.
    writing : Writing, optional
        Of a generation. None: nothing is written, and `scores` alone is what it says.

    Returns
    -------
    DataFrame
        split, example_id, label, prediction, scores (logits in float32, or the predicted value of a regression);
        in the order of `chosen`. Of a generation label and prediction are the right answer and the one read out of what
        the model wrote, which is in a further column `text`; scores has the mean loss of the right answer's tokens. Of
        a choice by likelihood scores has each answer's log-likelihood, and a further column `bytes` its length.
    """
    training = model.training
    model.eval()
    by_length = np.argsort(data.lengths[chosen], kind="stable")  # like lengths together: little padding
    order, scores = chosen[by_length], np.empty(0)
    written = np.zeros((len(order), writing.max_new_tokens if writing else 0), np.int64)
    for start in range(0, len(order), batch_size):
        mine, counts = processes.shard(np.arange(start, min(start + batch_size, len(order))))
        found = _scores(model, data, order[mine], device).float().cpu().numpy()
        if writing:
            prompts = move(data.prompts(order[mine]), device)
            tokens = writing.decode(model, prompts, sharded=processes.sharded)
            if counts:
                written[mine] = tokens
        if not len(scores):
            scores = np.zeros((len(order), found.shape[1]), np.float32)
        if counts:
            scores[mine] = found
    model.train(training)
    scores = processes.all_reduce_sum(torch.from_numpy(scores)).numpy()  # what is another's is 0 here
    back = np.argsort(by_length)
    texts = writing.texts(processes.all_reduce_sum(torch.from_numpy(written)).numpy()[back]) if writing else None
    return as_table(data, chosen, scores[back], split=split, writing=writing, texts=texts)


def _scores(model: torch.nn.Module, data: Any, chosen: np.ndarray, device: torch.device) -> torch.Tensor:
    """What goes into the column `scores`, of shape (examples, outputs)."""
    if isinstance(data, Scored):
        return log_likelihoods(model, data, chosen, device)
    batch = move(data.batch(chosen), device)
    labels = batch.pop("labels")
    logits = backbones.logits(model, batch)
    return answer_losses(logits, labels)[:, None] if "prompts" in data.arrays else logits


def as_table(
    data: Any,
    chosen: np.ndarray,
    scores: np.ndarray,
    *,
    split: str,
    writing: Writing | None = None,
    texts: list[str] | None = None,
) -> pd.DataFrame:
    """Return the predictions that `scores`, float32 of shape (examples, outputs), are of; columns as in `predict`."""
    table = pd.DataFrame(
        {
            "split": split,
            "example_id": data.ids[chosen],
            "label": data.labels[chosen],
            "prediction": scores[:, 0] if scores.shape[1] == 1 else scores.argmax(axis=1).astype(np.int64),
            "scores": list(scores),
        }
    )
    if isinstance(data, Scored):
        return table.assign(bytes=list(data.bytes[chosen]))
    if writing is None:
        return table
    return table.assign(prediction=writing.answers(texts or []), text=texts or [])
