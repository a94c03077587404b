"""How likely a causal language model finds each answer of a question: what a choice by likelihood is made by.

As lm-evaluation-harness scores multiple choice: the sum of the log-probabilities of an answer's tokens, each given the
prompt and the tokens before it.

Shapes: B questions, C answers, T tokens.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from frod import backbones
from frod.evaluation.metrics import NO_ANSWER
from frod.tasks.arrays import IGNORED, Scored


def log_likelihoods(model: torch.nn.Module, data: Scored, questions: np.ndarray, device: torch.device) -> torch.Tensor:
    """Score the answers of the questions at these positions in `data`; float32 of shape (B, C), on the CPU.

    NO_ANSWER where a question has fewer answers. One number of answer after the other: a batch is no larger than in
    training, and all processes of a sharded model call it equally often.
    """
    sizes_BC = torch.from_numpy(data.bytes[questions])
    columns = []
    for number in range(sizes_BC.shape[1]):
        batch = data.answer(questions, number, device)
        columns.append(_of_answers(backbones.logits(model, batch), batch["labels"]))
    return torch.stack(columns, dim=1).where(sizes_BC > 0, NO_ANSWER)


def _of_answers(logits_BTV: torch.Tensor, labels_BT: torch.Tensor) -> torch.Tensor:
    """Sum the log-probabilities of the labels that count, float32 of shape (B,), on the CPU.

    Only their tokens' logits are turned into probabilities: those of a whole batch would take gigabytes. Summed in
    float64, so that padding, which is zeros among them, moves no digit; on the CPU, as an Apple GPU has no float64.
    """
    counts_BT = labels_BT[:, 1:] != IGNORED
    losses = functional.cross_entropy(
        logits_BTV[:, :-1][counts_BT].float(), labels_BT[:, 1:][counts_BT], reduction="none"
    )
    each_BT = torch.zeros(counts_BT.shape, dtype=torch.float64)
    return -each_BT.masked_scatter(counts_BT.cpu(), losses.cpu().double()).sum(1).float()
