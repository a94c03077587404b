"""Figures of answers in writing: exact match of texts, their loss, their blocks, and answers that no text holds."""

import hashlib

import pandas as pd
import pytest

from frod.evaluation import metrics
from frod.evaluation.examples import by_block
from frod.evaluation.loss import loss

READ = "= ([0-9]+)"


@pytest.fixture
def table():
    """Three of four right: one by its last match, one nothing."""
    texts = ["= 12", "so = 3 = 7", "nothing", "= 07"]
    return pd.DataFrame(
        {
            "split": "test",
            "example_id": [4, 5, 6, 7],
            "label": ["12", "7", "9", "07"],
            "prediction": ["12", "7", "", "07"],
            "scores": [[0.5], [1.5], [3.0], [1.0]],
            "text": texts,
        }
    )


def test_exact_match_is_the_share_of_equal_texts(table):
    assert metrics.compute(table, ["exact_match"], num_classes=None) == {"exact_match": 0.75}
    assert by_block(table, "exact_match").mean() == 0.75
    assert sorted(by_block(table, "exact_match")) == [0, 1, 1, 1]


def test_numbers_that_are_written_otherwise_are_not_the_same(table):
    assert metrics.compute(table.assign(label=["12", "7", "9", "7"]), ["exact_match"]) == {"exact_match": 0.5}


def test_the_loss_is_the_mean_of_the_answers_own(table):
    """By hand: (0.5 + 1.5 + 3 + 1) / 4."""
    assert loss(table) == 1.5


def test_metrics_are_those_of_the_texts(table, tmp_path):
    path = tmp_path / "predictions.parquet"
    table.to_parquet(path)
    manifest = {"task": "sums", "metrics": ["exact_match"], "num_classes": 1, "read": READ}
    found = metrics.evaluate(path, manifest | {"splits": {"train": {"rows": 9}, "test": {"rows": 4}}})
    assert found == {
        "task": "sums",
        "primary": "exact_match",
        "metrics": {"test": {"exact_match": 0.75}},
        "examples": {"test": 4},
        "undefined": None,
        "predictions_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


@pytest.mark.parametrize("row", range(4))
def test_an_answer_that_its_text_does_not_hold_is_refused(table, row):
    table.loc[row, "prediction"] = "8"
    with pytest.raises(ValueError, match=rf"prediction '8' of example {row + 4} \(test\) is not read out of its text"):
        metrics.validate(table, num_classes=1, read=READ)


def test_predictions_without_texts_are_refused(table):
    with pytest.raises(ValueError, match=r"lack the columns \['text'\]"):
        metrics.validate(table.drop(columns="text"), num_classes=1, read=READ)
    metrics.validate(table, num_classes=1, read=READ)
