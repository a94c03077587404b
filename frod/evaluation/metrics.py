"""Metrics of one run, computed from its predictions and nothing else.

Training writes predictions; the figures that are reported come from here, so they can be recomputed from the file
without the model. scikit-learn and scipy do the arithmetic; this module refuses what they would quietly accept.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frod.evaluation.generated import read_out
from frod.provenance.run_keys import CONSTANT

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

NO_ANSWER = -(2.0 - 2.0**-23) * 2.0**127
"""Score where a question has fewer answers than others: the least float32, so that it is never the highest."""
BEST_EPOCH = "test_best_epoch"  # of the released protocol: test at the epoch that was best on it
COLUMNS = ("split", "example_id", "label", "prediction", "scores")


def compute(predictions: pd.DataFrame, metrics: Sequence[str], *, num_classes: int | None = None) -> dict[str, float]:
    """Metrics of the predictions of one split.

    Parameters
    ----------
    predictions : DataFrame of N rows
        Columns `label` and `prediction`: class indices, real numbers for pearson and spearman, or texts for
        exact_match. A `split` column, if there, must hold one value: a figure over validation and test together is
        never meant.
    metrics : sequence of str
        Among accuracy, accuracy_norm, matthews_correlation, f1, pearson, spearman, exact_match.
    num_classes : int, optional
        Labels and predictions must lie in [0, num_classes).

    Returns
    -------
    dict of str to float
        As fractions (accuracy 0.93, not 93). A correlation with a constant is undefined and given as nan.

    Raises
    ------
    ValueError
        For no rows, a missing column, missing values, an unknown metric, or classes out of range.
    """
    if not metrics:
        raise ValueError("metrics is empty; name at least one, the first being the primary one")
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise ValueError(f"metrics has {unknown}; known are {sorted(METRICS)}")
    for column in ("label", "prediction"):
        if column not in predictions:
            raise ValueError(f"predictions lack the column {column!r}; they have {list(predictions.columns)}")
    if predictions.empty:
        raise ValueError("predictions have no rows; a metric needs at least one example")
    if "split" in predictions and predictions["split"].nunique() != 1:
        splits = sorted(map(str, predictions["split"].unique()))
        raise ValueError(f"predictions mix the splits {splits}; select one before computing a metric")
    for column in ("label", "prediction"):
        missing = int(predictions[column].isna().sum())
        if missing:
            raise ValueError(
                f"{column} is missing or nan in {missing} of {len(predictions)} rows; did the run diverge?"
            )
    return {name: float(METRICS[name][0](*compared(predictions, name, num_classes))) for name in metrics}


def compared(predictions: pd.DataFrame, metric: str, num_classes: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions as a metric compares them, arrays of shape (N,)."""
    return METRICS[metric][1](predictions, num_classes)


def is_evaluated(split: str) -> bool:
    """Whether predictions may be of this split: validation, test, or a further test such as test_mismatched."""
    return split in ("validation", "test") or split.startswith("test_")


def validate(predictions: pd.DataFrame, *, num_classes: int | None = None, read: str | None = None) -> None:
    """Refuse predictions that cannot be those of one run.

    Parameters
    ----------
    predictions : DataFrame with the columns split, example_id, label, prediction, scores
        `scores` holds one list per row: a number per class, or a single one for regression.
    num_classes : int, optional
        How many scores a row has; 1 means regression, or a generation.
    read : str, optional
        Of a generation, by what answers are read out of the column `text`.

    Raises
    ------
    ValueError
        For a missing column, an unknown split, an example given twice in a split, scores of another length, scores
        that are not finite, a predicted class that does not have the highest score, or an answer that is not read out
        of its text.
    """
    import numpy as np

    wanted = (*COLUMNS, *(["text"] if read is not None else []))
    missing = [column for column in wanted if column not in predictions]
    if missing:
        raise ValueError(f"predictions lack the columns {missing}; they have {list(predictions.columns)}")
    if predictions.empty:
        raise ValueError("predictions have no rows; the run wrote none")
    unknown = sorted(split for split in set(map(str, predictions["split"])) if not is_evaluated(split))
    if unknown:
        raise ValueError(f"split has {unknown}; predictions are of validation, test and test_NAME")
    twice = predictions[predictions.duplicated(["split", "example_id"])]
    if len(twice):
        first = twice.iloc[0]
        raise ValueError(
            f"example_id {first['example_id']} appears more than once in split {first['split']!r} "
            f"({len(twice)} rows too many); each example is predicted once"
        )
    lengths = sorted({len(row) for row in predictions["scores"]})
    if len(lengths) != 1 or (num_classes is not None and lengths[0] != num_classes):
        expected = "the same number in each row" if num_classes is None else f"{num_classes} in each row"
        raise ValueError(f"scores have {lengths} values per row; right is {expected}")
    scores_NC = np.stack([np.asarray(row, dtype=np.float64) for row in predictions["scores"]])
    broken = int((~np.isfinite(scores_NC)).any(axis=1).sum())
    if broken:
        raise ValueError(f"scores are not finite in {broken} of {len(predictions)} rows; did the run diverge?")
    if read is not None:
        _check_read(predictions, read)
    if lengths[0] > 1:
        chosen_N, _ = _classes(predictions, lengths[0], columns=("prediction", "prediction"))
        # Ties are allowed: which of two equal scores argmax picks is no fault.
        not_highest = scores_NC[np.arange(len(chosen_N)), chosen_N] < scores_NC.max(axis=1)
        if not_highest.any():
            row = predictions.iloc[int(np.argmax(not_highest))]
            raise ValueError(
                f"prediction {row['prediction']} of example {row['example_id']} ({row['split']}) does not have the "
                f"highest score; {int(not_highest.sum())} rows disagree with their own scores"
            )


def _check_read(predictions: pd.DataFrame, read: str) -> None:
    columns = (predictions[name].tolist() for name in ("split", "example_id", "prediction", "text"))
    for split, example, prediction, text in zip(*columns):
        if prediction != (found := read_out(text, read)):
            raise ValueError(
                f"prediction {prediction!r} of example {example} ({split}) is not read out of its text, but {found!r}"
            )


def evaluate(predictions_path: Path, manifest: Mapping[str, Any], undefined: str | None = None) -> dict[str, Any]:
    """What metrics.json holds, from a run's predictions.

    Parameters
    ----------
    predictions_path : Path
        The parquet file of a run.
    manifest : mapping
        Of the prepared task: `task`, `metrics` (the first is primary), `num_classes` (1: regression or generation),
        of a generation `read`, and `splits` (name to {"rows": n}). All of every test must have been predicted; of
        validation a part will do (`training.max_validation`; none under the released protocol), and `examples` says how
        much it was.
    undefined : str, optional
        Why the run has no figure, by its record: then it has no predictions, and so no metrics.

    Returns
    -------
    dict
        task, metrics (split to name to value; None where undefined, as JSON has no nan), primary, examples, undefined
        (why there is no figure on test; None where there is one), predictions_sha256.

    Raises
    ------
    ValueError
        For a manifest without a needed key, predictions that `validate` refuses, rows that are not all there, or any
        rows at all of a run that has no figure by its record.
    """
    import pandas as pd

    absent = [key for key in ("task", "metrics", "num_classes", "splits") if key not in manifest]
    if absent:
        raise ValueError(f"the task manifest lacks {absent}; prepare the task again")
    num_classes = int(manifest["num_classes"])
    metrics = list(manifest["metrics"])
    content = Path(predictions_path).read_bytes()
    predictions = pd.read_parquet(predictions_path)
    facts = {"task": manifest["task"], "primary": metrics[0], "predictions_sha256": hashlib.sha256(content).hexdigest()}
    if undefined is not None:
        _refuse_any(predictions)
        return facts | {"metrics": {}, "examples": {}, "undefined": undefined}
    validate(predictions, num_classes=num_classes, read=manifest.get("read"))
    expected = {name: int(split["rows"]) for name, split in manifest["splits"].items() if is_evaluated(name)}
    expected |= {BEST_EPOCH: expected["test"]} if BEST_EPOCH in set(predictions["split"]) else {}
    counted = {str(name): int(rows) for name, rows in predictions["split"].value_counts(sort=False).items()}
    whole = all(counted.get(name) == rows for name, rows in expected.items() if name != "validation")
    if not whole or counted.get("validation", 0) > expected.get("validation", 0) or set(counted) - set(expected):
        raise ValueError(f"predictions hold {counted} rows, the task {expected}; each test is predicted whole, once")
    values: dict[str, dict[str, float | None]] = {}
    for name in counted:
        of_split = predictions[predictions["split"] == name]
        computed = compute(of_split, metrics, num_classes=num_classes if num_classes > 1 else None)
        values[name] = {key: defined(value) for key, value in computed.items()}
    undefined = why_undefined(values["test"][metrics[0]], f"test_{metrics[0]}")
    return facts | {"metrics": values, "examples": counted, "undefined": undefined}


def defined(value: float) -> float | None:
    """A metric as JSON has it, which knows no nan."""
    return None if math.isnan(value) else float(value)


def why_undefined(value: float | None, name: str) -> str | None:
    """Why a metric of predictions has no value; None where it has."""
    return f"{CONSTANT}: {name} is not defined, as predictions or labels do not vary" if value is None else None


def _refuse_any(predictions: pd.DataFrame) -> None:
    missing = [column for column in COLUMNS if column not in predictions]
    if missing or len(predictions):
        what = f"lack the columns {missing}" if missing else f"hold {len(predictions)} rows"
        raise ValueError(
            f"predictions {what}, and the record says that the run has no figure: then there are none; run it again"
        )


def _classes(
    predictions: pd.DataFrame, num_classes: int | None, columns: tuple[str, str] = ("label", "prediction")
) -> tuple[np.ndarray, np.ndarray]:
    """Two columns as class indices, int64 of shape (N,); an error names the value that is none."""
    import numpy as np

    arrays = []
    for column in columns:
        values = predictions[column].to_numpy()
        whole = values.astype(np.int64)
        if not np.array_equal(whole, values):
            raise ValueError(f"{column} holds {values[whole != values][0]}; class indices are whole numbers")
        highest = num_classes - 1 if num_classes is not None else math.inf
        outside = whole[(whole < 0) | (whole > highest)]
        if len(outside):
            right = "0 or more" if num_classes is None else f"0 to {num_classes - 1}"
            raise ValueError(f"{column} holds {outside[0]}; classes are {right}")
        arrays.append(whole)
    return arrays[0], arrays[1]


def _reals(predictions: pd.DataFrame, _num_classes: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Label and prediction as float64 of shape (N,), finite."""
    import numpy as np

    arrays = [predictions[column].to_numpy().astype(np.float64) for column in ("label", "prediction")]
    for column, values in zip(("label", "prediction"), arrays):
        if not np.isfinite(values).all():
            raise ValueError(f"{column} holds {values[~np.isfinite(values)][0]}; right are finite numbers")
    return arrays[0], arrays[1]


def _per_byte(predictions: pd.DataFrame, num_classes: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Label, and the answer whose log-likelihood divided by its bytes is the highest, int64 of shape (N,)."""
    import numpy as np

    if "bytes" not in predictions:
        raise ValueError("predictions lack the column 'bytes', which accuracy_norm divides likelihoods by")
    labels_N, _ = _classes(predictions, num_classes)
    scores_NC, bytes_NC = (
        np.stack([np.asarray(row, np.float64) for row in predictions[c]]) for c in ("scores", "bytes")
    )
    return labels_N, (scores_NC / np.maximum(bytes_NC, 1)).argmax(axis=1)  # 0: an answer that is not there


def _texts(predictions: pd.DataFrame, _num_classes: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Label and prediction as texts, of shape (N,)."""
    return predictions["label"].to_numpy(), predictions["prediction"].to_numpy()


def _accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    return float((labels == predicted).mean())  # importing scikit-learn takes longer than most smoke runs' training


def _matthews_correlation(labels: np.ndarray, predicted: np.ndarray) -> float:
    # scikit-learn gives 0 where one side is constant, which is also what GLUE's scorer reports.
    import warnings

    from sklearn.metrics import matthews_corrcoef

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A single label was found")
        return matthews_corrcoef(labels, predicted)


def _f1(labels: np.ndarray, predicted: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    highest = max(labels.max(), predicted.max())
    if highest > 1:
        raise ValueError(f"f1 is that of class 1 of two, and class {highest} appears; use accuracy for more classes")
    return f1_score(labels, predicted, pos_label=1, zero_division=0)


def _correlation(labels: np.ndarray, predicted: np.ndarray, *, of: str) -> float:
    """`of` is the name of scipy's function."""
    from scipy import stats

    if len(labels) < 2:
        raise ValueError(f"a correlation needs two examples or more, not {len(labels)}")
    if (labels == labels[0]).all() or (predicted == predicted[0]).all():
        return math.nan
    return getattr(stats, of)(labels, predicted).statistic


# name: (function, what it compares: class indices, real numbers, or texts)
METRICS: dict[str, tuple[Callable[..., float], Callable[..., tuple[np.ndarray, np.ndarray]]]] = {
    "accuracy": (_accuracy, _classes),
    "accuracy_norm": (_accuracy, _per_byte),
    "matthews_correlation": (_matthews_correlation, _classes),
    "f1": (_f1, _classes),
    "pearson": (partial(_correlation, of="pearsonr"), _reals),
    "spearman": (partial(_correlation, of="spearmanr"), _reals),
    "exact_match": (_accuracy, _texts),
}
