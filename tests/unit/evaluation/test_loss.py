"""The loss of predictions is torch's, of classes and of a regression."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from frod.evaluation.loss import loss


def test_of_classes_it_is_the_cross_entropy_however_large_the_logits():
    scores = np.random.default_rng(0).normal(0, 1, (50, 4)).astype(np.float32)
    scores[0] = [300.0, -300.0, 0.0, 0.0]
    labels = np.arange(50) % 4
    expected = functional.cross_entropy(torch.tensor(scores).double(), torch.tensor(labels))
    found = loss(pd.DataFrame({"label": labels, "scores": list(scores)}))
    assert found == pytest.approx(float(expected), rel=1e-5)
    assert found == float(f"{found:.6g}"), "digits that another processor has, too"


def test_of_a_regression_it_is_the_squared_error():
    scores, labels = np.array([[0.5], [2.0], [-1.0]], dtype=np.float32), np.array([1.0, 2.0, 1.0])
    assert loss(pd.DataFrame({"label": labels, "scores": list(scores)})) == pytest.approx(
        (0.25 + 0.0 + 4.0) / 3, rel=1e-5
    )
