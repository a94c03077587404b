"""Metrics agree with their textbook formulas, and predictions that cannot be scored are refused by name."""

import hashlib
import json
import math

import numpy as np
import pandas as pd
import pytest

from frod.evaluation import metrics


def frame(labels, predicted, **columns):
    return pd.DataFrame({"label": labels, "prediction": predicted, **columns})


def classified(rows, *, classes=2, splits=("validation", "test"), seed=0):
    """Predictions of both splits with one score per class, the predicted class having the highest."""
    rng = np.random.default_rng(seed)
    parts = []
    for split in splits:
        scores = rng.normal(size=(rows, classes)).astype(np.float32)
        columns = {"split": split, "example_id": np.arange(rows), "label": rng.integers(classes, size=rows)}
        parts.append(pd.DataFrame(columns | {"prediction": scores.argmax(1), "scores": list(scores)}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def evaluate(tmp_path):
    """Evaluate predictions once they are written to a file, path.parquet; None: the file as it is."""
    path = tmp_path / "path.parquet"

    def of(predictions, manifest, *more):
        if predictions is not None:
            predictions.to_parquet(path)
        return metrics.evaluate(path, manifest, *more)

    return of


def manifest(rows, *, classes=2, names=("accuracy", "matthews_correlation")):
    splits = {name: {"rows": rows} for name in ("validation", "test")}
    splits["train"] = {"rows": 99}
    return {"task": "t", "metrics": list(names), "num_classes": classes, "splits": splits}


# Expected values from the definitions over the confusion counts tp=3, fp=1, fn=2, tn=4.
LABELS = [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
PREDICTED = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]


def test_classification_follows_the_definitions():
    values = metrics.compute(frame(LABELS, PREDICTED), ["accuracy", "f1", "matthews_correlation"])
    assert list(values) == ["accuracy", "f1", "matthews_correlation"]
    assert values["accuracy"] == pytest.approx(7 / 10)
    assert values["f1"] == pytest.approx(2 * 3 / (2 * 3 + 1 + 2))
    assert values["matthews_correlation"] == pytest.approx((3 * 4 - 1 * 2) / math.sqrt(4 * 5 * 5 * 6))


def test_correlations_follow_the_definitions():
    x, y = np.array([0.0, 1.0, 2.0, 5.0]), np.array([1.0, 0.5, 4.0, 3.0])
    values = metrics.compute(frame(x, y), ["pearson", "spearman"])
    centred = (x - x.mean(), y - y.mean())
    assert values["pearson"] == pytest.approx(
        centred[0] @ centred[1] / math.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    )
    # 1 - 6 sum d^2 / (n (n^2 - 1)) with ranks 1 2 3 4 and 2 1 4 3.
    assert values["spearman"] == pytest.approx(1 - 6 * 4 / (4 * 15))


@pytest.mark.filterwarnings("error")
def test_a_constant_prediction_is_zero_matthews_and_undefined_correlation():
    assert metrics.compute(frame([0, 1, 1], [1, 1, 1]), ["matthews_correlation"]) == {"matthews_correlation": 0.0}
    assert metrics.compute(frame([0, 0, 0], [0, 0, 0]), ["matthews_correlation", "f1"])["f1"] == 0
    assert math.isnan(metrics.compute(frame([0.0, 1.0, 2.0], [1.0, 1.0, 1.0]), ["pearson"])["pearson"])


@pytest.mark.parametrize(
    ("predictions", "names", "message"),
    [
        (frame([], []), ["accuracy"], "no rows"),
        (frame([0], [0]), [], "metrics is empty"),
        (frame([0], [0]), ["acuracy"], r"\['acuracy'\].*accuracy"),
        (pd.DataFrame({"label": [0]}), ["accuracy"], "'prediction'"),
        (frame([0.0, math.nan], [0, 1]), ["accuracy"], "label is missing or nan in 1 of 2"),
        (frame([0, 1], [0, 2.5]), ["accuracy"], "prediction holds 2.5"),
        (frame([0, -1], [0, 1]), ["accuracy"], "label holds -1"),
        (frame([0, 2], [0, 1]), ["f1"], "class 2"),
        (frame([0.0, math.inf], [0, 1]), ["pearson"], "label holds inf"),
        (frame([0.0], [0.0]), ["spearman"], "two examples"),
        (frame([0, 1], [0, 1], split=["validation", "test"]), ["accuracy"], "mix the splits"),
    ],
)
def test_what_cannot_be_scored_is_named(predictions, names, message):
    with pytest.raises(ValueError, match=message):
        metrics.compute(predictions, names)


def test_classes_beyond_the_task_are_named():
    with pytest.raises(ValueError, match="label holds 3; classes are 0 to 2"):
        metrics.compute(frame([0, 3], [0, 1]), ["accuracy"], num_classes=3)


def test_predictions_of_a_sound_run_pass():
    metrics.validate(classified(20, classes=4), num_classes=4)
    tied = classified(1, splits=("test",)).assign(scores=[[0.5, 0.5]], prediction=[1])
    metrics.validate(tied, num_classes=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.drop(columns="scores"), r"lack the columns \['scores'\]"),
        (lambda p: p.iloc[:0], "no rows"),
        (lambda p: p.assign(split="train"), r"\['train'\]"),
        (lambda p: pd.concat([p, p.iloc[[3]]]), "example_id 3 appears more than once in split 'validation'"),
        (lambda p: p.assign(scores=[[0.0, 1.0, 2.0]] * len(p)), r"\[3\] values per row; right is 2"),
        (lambda p: p.assign(scores=[[0.0, math.nan]] * len(p)), "not finite in 20 of 20"),
        (lambda p: p.assign(prediction=1 - p["prediction"]), "disagree with their own scores"),
    ],
)
def test_predictions_that_are_of_no_run_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        metrics.validate(change(classified(10)), num_classes=2)


def test_evaluate_gives_what_metrics_json_holds(evaluate, tmp_path):
    predictions = classified(50)
    found = evaluate(predictions, manifest(50))
    test = predictions[predictions["split"] == "test"]
    assert found["metrics"]["test"]["accuracy"] == pytest.approx((test["label"] == test["prediction"]).mean())
    assert set(found["metrics"]) == {"validation", "test"}
    assert found["examples"] == {"validation": 50, "test": 50}
    assert (found["task"], found["primary"]) == ("t", "accuracy")
    assert found["predictions_sha256"] == hashlib.sha256((tmp_path / "path.parquet").read_bytes()).hexdigest()


def test_further_tests_and_the_best_epoch_are_evaluated_and_wanted_whole(evaluate):
    base = classified(20)
    test = base[base["split"] == "test"]
    more = [test.assign(split="test_mismatched"), test.assign(split="test_best_epoch")]
    splits = {"validation": {"rows": 20}, "test": {"rows": 20}, "test_mismatched": {"rows": 20}, "train": {"rows": 9}}
    found = evaluate(pd.concat([test, *more]), manifest(20) | {"splits": splits})
    assert found["examples"] == {"test": 20, "test_mismatched": 20, "test_best_epoch": 20}
    assert len({json.dumps(of_split) for of_split in found["metrics"].values()}) == 1
    for lacking in ([test, more[1]], [test, more[0], more[1].iloc[1:]], [*more]):
        with pytest.raises(ValueError, match="each test is predicted whole"):
            evaluate(pd.concat(lacking), manifest(20) | {"splits": splits})


def test_evaluate_wants_all_of_test_and_tells_how_much_of_validation(evaluate):
    with pytest.raises(ValueError, match="'test': 49"):
        evaluate(classified(50).iloc[:-1], manifest(50))
    assert evaluate(classified(50).iloc[20:], manifest(50))["examples"] == {"validation": 30, "test": 50}
    with pytest.raises(ValueError, match=r"'validation': 50.*'validation': 40"):
        evaluate(classified(50), manifest(50) | {"splits": {"validation": {"rows": 40}, "test": {"rows": 50}}})
    with pytest.raises(ValueError, match="num_classes"):
        evaluate(None, {"task": "t", "metrics": ["accuracy"], "splits": {}})


def test_an_undefined_metric_is_null_in_json(evaluate):
    constant = classified(5).astype({"label": float}).assign(prediction=1.5, scores=[[1.5]] * 10)
    found = evaluate(constant, manifest(5, classes=1, names=["pearson"]))
    assert json.loads(json.dumps(found, allow_nan=False))["metrics"]["test"] == {"pearson": None}


def test_a_run_that_diverged_has_neither_predictions_nor_metrics(evaluate):
    empty, said = classified(5).iloc[:0], "step 3 of 9: loss nan"
    found = evaluate(empty, manifest(5), said)
    assert (found["metrics"], found["examples"], found["undefined"]) == ({}, {}, said)
    assert (found["task"], found["primary"]) == ("t", "accuracy")
    with pytest.raises(ValueError, match="no rows"):  # emptied, of a run that ended
        evaluate(empty, manifest(5))
    with pytest.raises(ValueError, match="hold 10 rows, and the record says that the run has no figure"):
        evaluate(classified(5), manifest(5), said)
    with pytest.raises(ValueError, match=r"lack the columns \['scores'\]"):
        evaluate(empty.drop(columns="scores"), manifest(5), said)


def test_accuracy_norm_divides_each_likelihood_by_the_bytes_of_its_answer():
    """As lm-evaluation-harness: -6 over 2 bytes loses to -8 over 4; an answer that is not there is never chosen."""
    least = float(np.finfo(np.float32).min)
    scores, sizes = [[-6.0, -8.0, least], [-6.0, -8.0, -9.0]], [[2, 4, 0], [6, 4, 12]]
    table = frame([1, 2], [0, 0], scores=scores, bytes=sizes)
    assert metrics.compute(table, ["accuracy", "accuracy_norm"], num_classes=3) == {"accuracy": 0, "accuracy_norm": 1}
    with pytest.raises(ValueError, match="lack the column 'bytes'"):
        metrics.compute(table.drop(columns="bytes"), ["accuracy_norm"], num_classes=3)
