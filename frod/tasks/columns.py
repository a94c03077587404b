"""Columns of a table: which a task needs, and the checks that they are of their types and without gaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from frod.config.schema import did_you_mean
from frod.tasks.choices import LETTERS
from frod.tasks.examples import fault
from frod.tasks.registry import Columns, TaskSpec

SHOWN = 500  # characters of a file's columns in an error


def needed(columns: Columns) -> list[str]:
    """Return the names of all columns to read."""
    names = [*columns.text, *of_choices(columns), columns.image, columns.label, columns.id]
    return list(dict.fromkeys(name for name in names if name))


def of_choices(columns: Columns) -> list[str]:
    """Return the columns of the answers to choose from."""
    return [columns.choices] if isinstance(columns.choices, str) else columns.choices or []


def options(cell: Any) -> tuple[str, ...]:
    """Return the answers that one cell lists: texts, or texts with labels next to them."""
    return tuple(cell["text"] if isinstance(cell, dict) else cell)


def check_there(file: Path, names: list[str], wanted: list[str]) -> None:
    """Raise ValueError where a file lacks a column, or has two of its name."""
    missing = [name for name in wanted if name not in names]
    if missing:
        shown = ", ".join(map(repr, names))
        there = shown[:SHOWN] + " ..." * (len(shown) > SHOWN) + did_you_mean(missing[0], names)
        raise ValueError(f"{file}: no column {missing[0]!r}; it has {there}")
    twice = [name for name in wanted if names.count(name) > 1]
    if twice:
        raise ValueError(f"{file}: {names.count(twice[0])} columns are called {twice[0]!r}; rename all but one")


def plain(schema: Any) -> Any:
    """Return a parquet file's schema (pyarrow's) as it is read: no categories and views; decimals as text."""
    import pyarrow as pa

    kinds = [(field.name, pa.string() if pa.types.is_decimal(field.type) else _plain(field.type)) for field in schema]
    return pa.schema(kinds, metadata=schema.metadata)


def _plain(kind: Any) -> Any:
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(kind):
        return _plain(kind.value_type)
    if types.is_string_view(kind):
        return pa.string()
    if types.is_binary_view(kind):
        return pa.binary()
    if types.is_list(kind):
        return pa.list_(_plain(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([(field.name, _plain(field.type)) for field in kind])
    return kind


def check_types(file: Path, schema: Any, task: TaskSpec) -> None:
    """Raise ValueError where a column of a parquet file (`schema`: pyarrow's) is of another type than its use."""
    columns = task.columns
    for name in [*columns.text, *(columns.choices if isinstance(columns.choices, list) else [])]:
        _check(file, schema, name, is_text, "text")
    if isinstance(columns.choices, str):
        _check(file, schema, columns.choices, _is_options, "lists of text, or of text and label")
    if columns.image:
        _check(file, schema, columns.image, _is_file, "encoded images (bytes)")
    if columns.id:
        _check(file, schema, columns.id, _is_number, "integer")
    if task.problem == "regression":
        _check(file, schema, columns.label, _is_number, "a number")
    elif task.problem == "generation":
        _check(file, schema, columns.label, is_text, "text")
    else:
        check_label(file, schema, columns.label)


def check_label(file: Path, schema: Any, name: str) -> None:
    """Raise ValueError where a column of a parquet file holds no classes."""
    _check(file, schema, name, _is_label, "integer, truth value or text")


def check_gaps(rows: Any, task: TaskSpec, split: str) -> None:
    """Raise ValueError where the input of an example is missing from the table `rows`, or blank, or is no text."""
    for name in rows.column_names:
        try:
            rows[name].validate(full=True)
        except pa.ArrowInvalid as error:
            raise ValueError(f"split {split}: column {name!r} cannot be read ({error}); write the file again") from None
    answer = task.columns.label if task.kind == "generation" else None
    for name in [*task.columns.text, *of_choices(task.columns), *filter(None, [task.columns.image, answer])]:
        values = rows[name]
        empty = values.is_null()
        if types.is_struct(values.type):
            for part in {"bytes", "text", "label"} & {field.name for field in values.type}:
                empty = pc.or_(empty, pc.struct_field(values, part).is_null())
        wrong = np.flatnonzero(empty.to_numpy())
        if len(wrong):
            raise fault(split, name, "is empty", wrong, [None] * len(values))
    if task.kind in ("sentences", "generation"):
        _check_blank([rows[name] for name in task.columns.text], task, split)


def _check_blank(texts: list[Any], task: TaskSpec, split: str) -> None:
    """One text of a pair may be empty, as in some benchmarks; an example without any word has nothing to classify."""
    blank = [pc.equal(pc.utf8_trim_whitespace(column), "").to_numpy() for column in texts]
    wrong = np.flatnonzero(np.logical_and.reduce(blank))
    if len(wrong):
        raise fault(split, " and ".join(task.columns.text), "is blank", wrong, texts[0].to_pylist())


def check_options(rows: Any, task: TaskSpec, split: str, labels: np.ndarray) -> None:
    """Raise ValueError where answers are missing or more than the classes, or a label is beyond its answers."""
    if task.scoring == "likelihood":
        _check_answers(rows, task, split)
    name = task.columns.choices
    if not isinstance(name, str):
        return
    cells = [options(cell) for cell in rows[name].to_pylist()]
    gaps = np.flatnonzero([None in cell for cell in cells])
    if len(gaps):
        raise fault(split, name, "has an empty answer", gaps, cells)
    counts = np.array([len(cell) for cell in cells])
    many = np.flatnonzero(counts > task.num_classes)
    if len(many):
        letters = ", ".join(LETTERS[: task.num_classes])
        raise fault(split, name, f"has more answers than the {task.num_classes} classes {letters}", many, cells)
    beyond = np.flatnonzero(labels >= counts)
    if len(beyond):
        raise fault(split, task.columns.label, "names none of the answers", beyond, labels.tolist())


def _check_answers(rows: Any, task: TaskSpec, split: str) -> None:
    """A blank answer has no likelihood; one that is missing is told elsewhere."""
    for name in of_choices(task.columns):
        cells = rows[name].to_pylist()
        offered = [[cell] if isinstance(cell, str) else options(cell) for cell in cells]
        blank = [any(answer is not None and not answer.strip() for answer in answers) for answers in offered]
        if any(blank):
            raise fault(split, name, "has a blank answer, which has no likelihood,", np.flatnonzero(blank), cells)


def _check(file: Path, schema: Any, name: str, good: Any, wanted: str) -> None:
    kind = schema.field(name).type
    if not good(_plain(kind)):
        raise ValueError(f"{file}: column {name!r} should be {wanted}, is {kind}")


def is_text(kind: Any) -> bool:
    """Whether a type of pyarrow is text."""
    return types.is_string(kind) or types.is_large_string(kind)


def _is_texts(kind: Any) -> bool:
    return (types.is_list(kind) or types.is_large_list(kind)) and is_text(kind.value_type)


def _is_options(kind: Any) -> bool:
    if not types.is_struct(kind):
        return _is_texts(kind)
    parts = {field.name: field.type for field in kind}
    return {"text", "label"} <= set(parts) and _is_texts(parts["text"]) and _is_texts(parts["label"])


def _is_file(kind: Any) -> bool:
    if types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return types.is_binary(kind) or types.is_large_binary(kind)


def _is_number(kind: Any) -> bool:
    # A column of integers with gaps is read as floats by some writers; gaps are reported as such further down.
    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind)


def _is_label(kind: Any) -> bool:
    return _is_number(kind) or is_text(kind) or types.is_boolean(kind)
