"""Test examples as a source of chance: every seed and both methods see the same ones, and others would have come out
otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from frod.evaluation.metrics import METRICS, compared
from frod.evaluation.statistics import Difference, mean_interval

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

BLOCKS = 100


def by_block(predictions: pd.DataFrame, metric: str) -> np.ndarray:
    """What each block of examples says of a metric: its mean where the metric is one, else a jackknife pseudo-value.

    Blocks are drawn once for a number of examples, so that they are the same for all runs of a task.

    Parameters
    ----------
    predictions : DataFrame of N rows
        Columns `label` and `prediction`, of one split; for accuracy_norm also `scores` and `bytes`.

    Returns
    -------
    ndarray of shape (min(N, 100),)
        nan for a metric that is undefined with or without a block.
    """
    import numpy as np

    labels_N, predicted_N = (predictions[name].to_numpy() for name in ("label", "prediction"))
    if metric == "accuracy_norm":
        labels_N, predicted_N = compared(predictions, metric)
    examples = len(predictions)
    blocks = min(examples, BLOCKS)
    block_N = np.random.default_rng(0).permutation(examples) % blocks
    if metric in ("accuracy", "accuracy_norm", "exact_match"):
        return np.bincount(block_N, labels_N == predicted_N) / np.bincount(block_N)
    if metric == "matthews_correlation":
        whole, *without = _matthews_correlations(labels_N, predicted_N, block_N)
    else:
        function, _ = METRICS[metric]
        whole = function(labels_N, predicted_N)
        without = [function(labels_N[block_N != block], predicted_N[block_N != block]) for block in range(blocks)]
    return blocks * whole - (blocks - 1) * np.array(without)


def _matthews_correlations(labels_N: np.ndarray, predicted_N: np.ndarray, block_N: np.ndarray) -> np.ndarray:
    """Of all, then without each block, by counts (Gorodkin 2004); scikit-learn takes them one by one."""
    import numpy as np

    kept_BN = (np.arange(-1, block_N.max() + 1)[:, None] != block_N).astype(float)  # the first row keeps all
    classes_C = np.arange(1 + max(labels_N.max(), predicted_N.max()))
    label_BC, predicted_BC = (kept_BN @ (of_N[:, None] == classes_C) for of_N in (labels_N, predicted_N))
    all_B, right_B = kept_BN.sum(axis=1), kept_BN @ (labels_N == predicted_N)
    covariance_B = right_B * all_B - (label_BC * predicted_BC).sum(axis=1)
    of_label_B, of_predicted_B = (all_B**2 - (of_BC**2).sum(axis=1) for of_BC in (label_BC, predicted_BC))
    both_B = of_label_B * of_predicted_B
    return np.divide(covariance_B, np.sqrt(both_B), out=np.zeros_like(both_B), where=both_B > 0)


def with_examples(named: Mapping[int, float], differences_SB: np.ndarray, *, confidence: float = 0.95) -> Difference:
    """Mean of the seeds' differences with its interval, where both seeds and examples are left to chance.

    Seeds and blocks of examples are crossed: a seed meets all blocks. The variance of the mean is that between seeds,
    and what blocks add to it; each with the quantile of its own degrees of freedom (Howe, JASA 69, 1974). Seeds that
    are alike by chance do not make the interval narrower than the examples alone do; none where they are all the same.

    Parameters
    ----------
    named : mapping of seed to difference
    differences_SB : ndarray of shape (seeds, blocks)
        The same differences by block of examples.
    """
    import numpy as np
    from scipy.special import stdtridf, stdtrit

    seeds, blocks = differences_SB.shape
    over_seeds = mean_interval(named, confidence=confidence)
    if blocks < 2 or not over_seeds.has_interval:
        return over_seeds
    of_seed_S, of_block_B = differences_SB.mean(axis=1), differences_SB.mean(axis=0)
    rest_SB = differences_SB - of_seed_S[:, None] - of_block_B + differences_SB.mean()
    rest = float((rest_SB**2).sum()) / ((seeds - 1) * (blocks - 1) * seeds * blocks)
    by_seed, by_block = (float(np.var(of, ddof=1)) / len(of) for of in (of_seed_S, of_block_B))
    added = max(0.0, by_block - rest)  # both hold the rest, what a seed makes of a block
    level = (1 + confidence) / 2
    of_seeds, of_blocks = stdtrit(seeds - 1, level), stdtrit(blocks - 1, level)
    half = max(math.hypot(of_seeds * by_seed**0.5, of_blocks * added**0.5), of_blocks * by_block**0.5)
    error = math.sqrt(max(by_seed + added, by_block))
    df = float(stdtridf(level, half / error))  # whose quantile gives this interval
    return mean_interval(named, confidence=confidence, error=error, df=df)
