"""Labels as sources write them, to class numbers or real numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from frod.tasks.columns import is_text
from frod.tasks.examples import fault, listed
from frod.tasks.registry import TaskSpec, composed


def read(values: Any, task: TaskSpec, split: str, keys: list[list[str]] | None = None) -> np.ndarray:
    """Return a column of labels as numbers.

    Parameters
    ----------
    values : pyarrow ChunkedArray
        Integers, truth values, text, or floats without a fraction; of a regression, numbers.
    keys : list of list of str, optional
        Of each example the labels that stand next to its answers: the class is the right one's place among them. So 1
        to 4 mean the same as A to D, and three answers or five are no matter.

    Returns
    -------
    int64 array of shape (examples,), classes of the source; float32 for a regression

    Raises
    ------
    ValueError
        A label is missing, or none of what the task knows; with how many, their values and rows.
    """
    column = task.columns.label
    _check_filled(values, split, column)
    if task.problem == "regression":
        return _finite(values, split, column)
    if task.answers is not None:
        return _among(values, task.answers, split, column)
    if keys is not None:
        return _beside(values, keys, split, column)
    if not is_text(values.type):
        return integers(values, split, column)
    if isinstance(task.classes, list) and task.relabel is None:
        written, named = map(composed, values.drop_null().unique().to_pylist()), set(task.classes)
        if any(value in named or not _is_number(value) for value in written):
            return _among(values, task.classes, split, column)
    return integers(values, split, column, what="is no integer (words need `classes` by name, or `answers`)")


def integers(values: Any, split: str, column: str, *, what: str = "is no integer") -> np.ndarray:
    """Return a column as int64; ValueError where it has gaps (null or nan), fractions, or text that is no number.

    No float stands in between: it would round what is above 2**53, so that two ids become one.
    """
    _check_filled(values, split, column)
    numbers = [_integer(value) for value in values.to_pylist()]
    wrong = np.flatnonzero([number is None for number in numbers])
    if len(wrong):
        raise fault(split, column, what, wrong, values.to_pylist())
    return np.array(numbers, dtype=np.int64)


def check_names(names: list[str], task: TaskSpec) -> None:
    """Hold the source's names of its classes against the task's: as many, and those of both in the same places."""
    if len(names) != task.source_classes:
        raise ValueError(f"classes: the source has {len(names)}, {names}; the registry has {task.source_classes}")
    if task.relabel is None and isinstance(task.classes, list):
        own = {name: place for place, name in enumerate(task.classes)}
        if any(own.get(composed(name), place) != place for place, name in enumerate(names)):
            raise ValueError(f"classes: {task.classes} are in another order than the source's, which are {names}")


def _among(values: Any, known: list[str], split: str, column: str) -> np.ndarray:
    places = {written: place for place, written in enumerate(known)}
    found = [-1 if value is None else places.get(composed(str(value)), -1) for value in values.to_pylist()]
    return _found(found, values, f"is none of {listed(known)}", split, column, known)


def _beside(values: Any, keys: list[list[str]], split: str, column: str) -> np.ndarray:
    places = [own.index(value) if value in own else -1 for value, own in zip(values.to_pylist(), keys)]
    return _found(places, values, "is none of the labels next to the answers", split, column)


def _found(places: list[int], values: Any, what: str, split: str, column: str, known: Sequence[str] = ()) -> np.ndarray:
    labels = np.array(places, dtype=np.int64)
    wrong = np.flatnonzero(labels < 0)
    if len(wrong):
        raise fault(split, column, what, wrong, values.to_pylist(), known)
    return labels


def _finite(values: Any, split: str, column: str) -> np.ndarray:
    """Return a column as float32, the type that labels of a regression have on disk."""
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes an infinity, and is reported as one
        numbers = np.array([_number(value) for value in values.to_pylist()]).astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise fault(split, column, "is no number", wrong, values.to_pylist())
    return numbers


def _check_filled(values: Any, split: str, column: str) -> None:
    if values.null_count == len(values):
        raise ValueError(f"split {split}: column {column!r} is empty in all {len(values)} rows")
    if values.null_count:
        empty = np.flatnonzero(values.is_null().to_numpy())
        raise fault(split, column, "is empty (fill it in, or leave the row out)", empty, values.to_pylist())


def _integer(value: Any) -> int | None:
    """Return the whole number that a cell holds, as 1, 1.0 or text; None where it holds none, or one beyond int64."""
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    if not number.is_finite() or not -(2**63) <= number < 2**63 or number % 1:
        return None
    return int(number)


def _number(value: Any) -> float:
    """Return the number that a cell holds, nan where it holds none."""
    return float(value) if value is not None and _is_number(value) else math.nan


def _is_number(value: Any) -> bool:
    """Whether a cell is written as a number; nan is one."""
    try:
        float(value)
    except ValueError:
        return False
    return True
