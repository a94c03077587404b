"""The loss of predictions, which tells apart what a metric that counts examples does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

DIGITS = 6
"""That are kept: the last ones of an exponential differ between processors."""


def loss(predictions: pd.DataFrame) -> float:
    """Mean cross-entropy of the predictions of one split; of a regression, mean squared error.

    Of a generation, the mean over examples of the cross-entropy of a token of the right answer.

    Parameters
    ----------
    predictions : DataFrame of N rows
        Columns `label` and `scores`, one list per row: a logit per class, or a single value: for regression what is
        predicted; where labels are text, the loss itself.
    """
    import numpy as np

    scores_NC = np.stack([np.asarray(row, dtype=np.float64) for row in predictions["scores"]])
    labels_N = predictions["label"].to_numpy()
    if scores_NC.shape[1] == 1 and not np.issubdtype(labels_N.dtype, np.number):
        each_N = scores_NC[:, 0]
    elif scores_NC.shape[1] == 1:
        each_N = (scores_NC[:, 0] - labels_N) ** 2
    else:
        logits_NC = scores_NC - scores_NC.max(axis=1, keepdims=True)
        each_N = np.log(np.exp(logits_NC).sum(axis=1)) - logits_NC[np.arange(len(labels_N)), labels_N]
    return float(f"{each_N.mean():.{DIGITS}g}")
