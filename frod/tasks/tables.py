"""Tables of examples, in parquet or csv, read by the library datasets: rows stay on the disk until they are used."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from frod.provenance.artefacts import first_line
from frod.tasks import columns, labels
from frod.tasks.choices import Question
from frod.tasks.examples import Examples, Lazy
from frod.tasks.generation import Exercise, references
from frod.tasks.registry import TaskSpec

JSON = (".json", ".jsonl")


@dataclass(frozen=True)
class _Form:
    """How the cells of a line are told apart."""

    separator: str
    quoting: Literal[0, 3]
    """As the module csv has it: `QUOTE_MINIMAL`, or `QUOTE_NONE`."""
    remedy: str


_CSV = _Form(",", csv.QUOTE_MINIMAL, "a text with ',' in it stands in quotes")
_TSV = _Form(
    "\t", csv.QUOTE_NONE, "quotes mean nothing in a tsv: write texts with tabs or line breaks as csv or parquet"
)


def read(
    files: list[Path], task: TaskSpec, split: str, scratch: Path, texts: list[str]
) -> tuple[Examples, list[str] | None]:
    """Read a split's files, all of one form, and the names of its classes, where they say.

    A copy in the folder `scratch` is mapped into memory; a prompt calls the columns of text as `texts` says. ValueError
    where a file is broken, a column is missing, empty in some rows, or not of its type, or a label is of no use.
    """
    named = task.columns
    names = columns.needed(named)
    if files[0].suffix == ".parquet":
        schema = _checked_schema(files, task, names)
        rows = _mapped(files, schema, scratch / split, columns=names)
        class_names = names_of_classes(files[0], schema, named.label)
    elif files[0].suffix in JSON:
        rows = _json(files, scratch / split)
        columns.check_there(files[0], rows.column_names, names)
        columns.check_types(files[0], rows.schema, task)
        rows = rows.select(names)
        class_names = None
    elif named.image:
        raise ValueError(f"{files[0]}: holds no images; lay them in folders, CLASS/*.png, or write a parquet file")
    else:
        for file in files:
            if doubtful := check_lines(file, names):
                print(doubtful, file=sys.stderr)
        form = _form(file)
        read_as = {"sep": form.separator, "quoting": form.quoting}
        # A csv says nothing of types, and what is guessed from its first rows may be wrong further down.
        schema = pa.schema([(name, pa.string()) for name in names])
        rows = _mapped(files, schema, scratch / split, usecols=names, **read_as)
        class_names = None
    where = f"{split} of {files[0]}" + (f" and {len(files) - 1} more" if len(files) > 1 else "")
    columns.check_gaps(rows, task, where)
    if task.read is not None:
        found = references(rows[named.label].to_pylist(), task.read)
    else:
        found = labels.read(rows[named.label], task, where, _keys(rows, task))
    if task.kind == "choices":
        columns.check_options(rows, task, where, found)
    places = np.arange(len(found), dtype=np.int64)
    ids = labels.integers(rows[named.id], where, named.id) if named.id else places
    return Examples(inputs=Lazy(_input(rows, task, texts), places), labels=found, ids=ids), class_names


def _keys(rows: Any, task: TaskSpec) -> list[list[str]] | None:
    """Return the labels next to each example's answers, where the answers have labels."""
    name = task.columns.choices
    if not isinstance(name, str) or not types.is_struct(rows[name].type):
        return None
    return [cell["label"] for cell in rows[name].to_pylist()]


def _input(rows: Any, task: TaskSpec, named: list[str]) -> Callable[[int], Any]:
    """Return the function that reads one row's input: a file's bytes, a text, a pair of texts, or a question."""
    if task.columns.image:
        images = rows[task.columns.image]
        return lambda row: value["bytes"] if isinstance(value := images[row].as_py(), dict) else value
    texts = {name: rows[column] for name, column in zip(named, task.columns.text)}
    if task.kind == "choices":
        answers = [rows[name] for name in columns.of_choices(task.columns)]
        return lambda row: Question(
            {name: values[row].as_py() for name, values in texts.items()},
            tuple(task.choices) or _answers([values[row].as_py() for values in answers]),
        )
    if task.kind == "generation":
        right = rows[task.columns.label]
        return lambda row: Exercise({name: values[row].as_py() for name, values in texts.items()}, right[row].as_py())
    if len(texts) == 1:
        (single,) = texts.values()
        return lambda row: single[row].as_py()
    return lambda row: tuple(values[row].as_py() for values in texts.values())


def _answers(cells: list[Any]) -> tuple[str, ...]:
    """Return the answers of one cell each, or of one cell with all of them."""
    return tuple(cells) if isinstance(cells[0], str) else columns.options(cells[0])


def _checked_schema(files: list[Path], task: TaskSpec, names: list[str]) -> Any:
    """Return the schema to read by, with what datasets wrote into the first file, once all files have the columns."""
    schemas, rows = [], 0
    for file in files:
        schema, count = parquet_schema(file)
        schemas.append(schema)
        rows += count
        columns.check_there(file, schemas[-1].names, names)
        columns.check_types(file, schemas[-1], task)
    if rows == 0:
        raise ValueError(f"{files[0]}: the split is empty")
    return columns.plain(schemas[0])


def _json(files: list[Path], scratch: Path) -> Any:
    """Return a pyarrow table of files of JSON, a list of examples or one in each line."""
    from datasets import Dataset

    with _quiet():
        try:
            # Else a column of texts and numbers is written anew, each value as JSON: a text gets quotes.
            data = Dataset.from_json([str(file) for file in files], cache_dir=str(scratch), on_mixed_types=None)
        except Exception as error:  # as of damaged metadata
            cause = error.__cause__ or error
            _raise_of_system(cause)
            reason = first_line(cause)
            raise ValueError(
                f"{files[0]}: cannot be read to its end ({reason}); fetch it again, or write each column in one type"
            ) from None
    return data.data.table


def parquet_schema(file: Path) -> tuple[Any, int]:
    """Return a parquet file's schema, pyarrow's, and how many rows it has; ValueError where it is no whole one."""
    try:
        metadata = pq.read_metadata(file)
        return metadata.schema.to_arrow_schema(), metadata.num_rows
    except Exception as error:  # damaged metadata lead the library to errors of many kinds
        _raise_of_system(error)
        raise ValueError(f"{file}: is not a whole parquet file ({first_line(error)}); fetch it again") from None


def check_lines(file: Path, names: list[str]) -> str | None:
    """Raise ValueError where a csv or tsv lacks a column, has no rows, or a line of other cells than its head.

    Returns what may be meant otherwise than it is read: a text of several lines.
    """
    form, end = _form(file), 0
    try:
        with _open(file) as lines:
            reader = csv.reader(lines, delimiter=form.separator, quoting=form.quoting, strict=True)
            head = next(reader, [])
            _check_head(file, head, names, form)
            rows, end, longest = 0, reader.line_num, (1, 0)
            for cells in reader:
                if cells and len(cells) != len(head):
                    one = end + 1 == reader.line_num
                    where = f"line {end + 1} has" if one else f"lines {end + 1} to {reader.line_num} are one and have"
                    raise ValueError(f"{file}: {where} {len(cells)} cells, the first line {len(head)}; {form.remedy}")
                longest, end = max(longest, (reader.line_num - end, end + 1)), reader.line_num
                rows += bool(cells)  # none: a blank line
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: is not text in UTF-8 ({error}); save it as such") from None
    except csv.Error as error:
        raise ValueError(
            f"{file}: line {_opened(file, end, reader.line_num)}: a text in quotes that opens here cannot be read to "
            f"its end (line {reader.line_num}: {error}); a quotation mark within a text in quotes is doubled"
        ) from None
    if rows == 0:
        raise ValueError(f"{file}: the split is empty")
    if longest[0] == 1:
        return None
    return (
        f"{file}: {end} lines, {rows} examples; a text in quotes goes over {longest[0]} lines from line {longest[1]} "
        "on. Where these are examples of their own, a quotation mark stands alone: double it"
    )


def _form(file: Path) -> _Form:
    return _TSV if file.suffix == ".tsv" else _CSV


def _check_head(file: Path, head: list[str], names: list[str], form: _Form) -> None:
    if not head:
        raise ValueError(f"{file}: its first line is empty; it names the columns")
    others = [mark for mark in ",;\t|" if mark in head[0]]
    if len(head) == 1 and others and head[0] not in names:
        raise ValueError(
            f"{file}: the first line is one cell, {head[0]!r}; cells are separated by {form.separator!r} here, not by "
            f"{others[0]!r}"
        )
    columns.check_there(file, head, names)


def _opened(file: Path, start: int, end: int) -> int:
    """Return the line in which the text in quotes opens that goes wrong among the lines after `start`, up to `end`."""
    opened = None
    with _open(file) as lines:
        for number, line in enumerate(itertools.islice(lines, start, end), start + 1):
            if line.count('"') % 2:
                opened = None if opened else number
    return opened or start + 1


@contextmanager
def _open(file: Path) -> Iterator[TextIO]:
    """Open a csv for its reader, which is to take cells of any length: by default it refuses more than 131,072."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            yield lines
    finally:
        csv.field_size_limit(limit)


def names_of_classes(file: Path, schema: Any, label: str) -> list[str] | None:
    """Return the names of a label's classes, as datasets writes them into a file."""
    try:
        said = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        return said.get("info", {}).get("features", {}).get(label, {}).get("names")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{file}: what is said of its columns cannot be read ({error}); fetch it again") from None


def _mapped(files: list[Path], schema: Any, scratch: Path, **arguments: Any) -> Any:
    """Return a pyarrow table of the columns of `arguments`, mapped into memory from a copy in `scratch`."""
    from datasets import Dataset, Features

    read = Dataset.from_parquet
    if "usecols" in arguments:  # a csv; "NA" and "null" are words like others
        read = Dataset.from_csv
        arguments |= {"encoding": "utf-8-sig", "keep_default_na": False, "na_values": [""]}
    fields = [schema.field(name) for name in arguments.get("columns") or arguments["usecols"]]
    features = Features.from_arrow_schema(pa.schema(fields))
    with _quiet():
        try:
            data = read([str(file) for file in files], features=features, cache_dir=str(scratch), **arguments)
        except Exception as error:  # as of damaged metadata
            cause = error.__cause__ or error
            _raise_of_system(cause)
            reason = first_line(cause)
            raise ValueError(f"{files[0]}: cannot be read to its end ({reason}); fetch or write it again") from None
    return data.data.table


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's progress bars and messages back; what goes wrong is said by our own errors."""
    import datasets

    level, hidden = datasets.logging.get_verbosity(), datasets.are_progress_bars_disabled()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        if not hidden:
            datasets.enable_progress_bars()


def _raise_of_system(error: BaseException) -> None:
    """Raise what is no fault of the file: a full disk, a missing permission."""
    if isinstance(error, OSError) and error.errno:
        raise error
