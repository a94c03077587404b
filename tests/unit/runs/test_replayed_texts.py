"""A replay of answers in writing: texts are compared as such, and what was read out of them."""

import numpy as np
import pandas as pd
import pytest

from frod.runs import deviations

TABLE = pd.DataFrame(
    {
        "split": "test",
        "example_id": range(4),
        "label": ["1", "2", "3", "4"],
        "prediction": ["1", "2", "", "5"],
        "scores": list(np.ones((4, 1), np.float32)),
        "text": ["= 1", "= 2", "none", "= 5"],
    }
)


def test_the_same_texts_are_the_same():
    found = deviations.predictions(TABLE, TABLE.copy())
    assert all(one.exact for one in found)
    assert [one.what for one in found] == ["predictions: examples", "predictions: texts", "predictions: scores"]


@pytest.mark.parametrize(
    ("changes", "differing"),
    [({"text": ["= 1", "so = 2", "none", "= 5"]}, 1), ({"prediction": ["2", "2", "", "4"]}, 2)],
)
def test_other_texts_or_answers_are_counted(changes, differing):
    found = {one.what: one for one in deviations.predictions(TABLE, TABLE.assign(**changes))}
    texts = found["predictions: texts"]
    assert (texts.differing, texts.share) == (differing, differing / 4)
    assert found["predictions: scores"].exact


def test_another_right_answer_is_another_example():
    (one,) = deviations.predictions(TABLE, TABLE.assign(label=["1", "2", "3", "9"]))
    assert (one.what, one.differing) == ("predictions: examples", 1)
