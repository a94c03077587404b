"""Examples as a source gives them, before any backbone's preparation, and the checks they must pass."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from frod.config.schema import did_you_mean

SHOWN = 5  # offending rows named in an error
_BRIEFLY = reprlib.Repr()
_BRIEFLY.maxstring = _BRIEFLY.maxother = 60  # characters of a value: a cell may hold megabytes
_BRIEFLY.maxlist = 20


class Lazy(Sequence):
    """Inputs that are read from the source, by `rows` (int64 of shape (examples,)), when they are asked for."""

    def __init__(self, read: Callable[[int], Any], rows: np.ndarray) -> None:
        self._read, self._rows = read, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        """Read one input; of a slice or an array of positions, another Lazy."""
        rows = self._rows[index]
        return Lazy(self._read, rows) if isinstance(rows, np.ndarray) else self._read(int(rows))


@dataclass(frozen=True, kw_only=True)
class Examples:
    """One split of a source.

    inputs : sequence of images (uint8 arrays, or files: bytes or paths), of texts, of tuples of texts, or of questions
    labels : int64 array of shape (examples,), classes of the source; of a regression float32, of a generation text
    ids : int64 array of shape (examples,), the row in the source
    """

    inputs: Sequence[Any]
    labels: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: np.ndarray) -> Examples:
        """Return the examples at `positions`."""
        inputs = self.inputs[positions] if isinstance(self.inputs, Lazy) else [self.inputs[i] for i in positions]
        return Examples(inputs=inputs, labels=self.labels[positions], ids=self.ids[positions])


@dataclass(frozen=True, kw_only=True)
class Source:
    """What was read, and what of."""

    splits: dict[str, Examples]
    facts: dict[str, Any] = field(default_factory=dict)
    """For the manifest: what, revision, files with their sha256."""
    class_names: list[str] | None = None
    """The source's own, where it names its classes."""


def fault(
    split: str, column: str, what: str, wrong: np.ndarray, values: Sequence[Any], known: Sequence[str] = ()
) -> ValueError:
    """Return the error of a column some of whose `values` are of no use: those at the rows `wrong`, ints.

    It shows different values, each with its first row, how many rows it stands in, and which of `known` it may mean.
    """
    rows: dict[str, list[int]] = {}
    for row in wrong.tolist():
        rows.setdefault(repr(values[row]), []).append(row)
    shown = list(rows.values())[:SHOWN]
    said = ", ".join(_said(values[same[0]], len(same), known) for same in shown)
    return ValueError(
        f"split {split}: column {column!r} {what} in {len(wrong)} of {len(values)} rows, such as [{said}] at rows "
        f"{[same[0] for same in shown]} (counted from 0)"
    )


def _said(value: Any, rows: int, known: Sequence[str]) -> str:
    meant = did_you_mean(str(value)[:100], list(known)).removeprefix("; ")
    notes = [*([f"{rows} rows"] if rows > 1 else []), *([meant] if meant else [])]
    return _BRIEFLY.repr(value) + (f" ({', '.join(notes)})" if notes else "")


def listed(names: Sequence[str]) -> str:
    """Return names as a list for a message, cut where there are many."""
    return _BRIEFLY.repr(list(names))


def check_labels(name: str, labels: np.ndarray, classes: list[str], *, spread: bool = True) -> None:
    """Raise ValueError where a split is empty, has a label that is no class, or but one class, unless not `spread`.

    A split of one class would make every metric but accuracy undefined, and accuracy meaningless.
    """
    if len(labels) == 0:
        raise ValueError(f"split {name} is empty")
    wrong = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(wrong):
        hint = "; -1 is the Hub's mark of a split without labels" if (labels[wrong] == -1).any() else ""
        if labels.min() > 0 and labels.max() == len(classes):
            hint = "; classes are counted from 0: where the source counts from 1, `answers` says how it writes each"
        raise ValueError(
            f"split {name}: {len(wrong)} of {len(labels)} labels are none of the {len(classes)} classes, such as "
            f"{labels[wrong[:SHOWN]].tolist()} at rows {wrong[:SHOWN].tolist()}{hint}"
        )
    if spread and len(np.unique(labels)) < 2:
        only = classes[int(labels[0])]
        raise ValueError(
            f"split {name}: all {len(labels)} labels are {only!r}; a classification needs two classes: give the others "
            "more examples, or draw more `rows`"
        )


def check_reals(name: str, labels: np.ndarray, low: float, high: float) -> None:
    """Raise ValueError where a regression's split is empty, leaves its range, or has one label for all."""
    if len(labels) == 0:
        raise ValueError(f"split {name} is empty")
    wrong = np.flatnonzero(~((labels >= low) & (labels <= high)))
    if len(wrong):
        raise ValueError(
            f"split {name}: {len(wrong)} of {len(labels)} labels lie outside the range {low:g} to {high:g}, such as "
            f"{labels[wrong[:SHOWN]].tolist()} at rows {wrong[:SHOWN].tolist()}"
        )
    if len(np.unique(labels)) < 2:
        raise ValueError(f"split {name}: all {len(labels)} labels are {labels[0]:g}; no correlation is defined then")


def check_rows(name: str, labels: np.ndarray, rows: int, by_class: list[int] | None) -> None:
    """Raise ValueError, with both figures, where a split of the source is not as large as the registry says."""
    if len(labels) != rows:
        raise ValueError(
            f"split {name} has {len(labels)} rows, the registry says {rows}: the source is truncated or altered; "
            f"fetch it again"
        )
    if by_class is None:
        return
    found = [int((labels == c).sum()) for c in range(len(by_class))]
    if found != by_class:
        raise ValueError(
            f"split {name} has {found} examples of the source's classes, the registry says {by_class}: the source is "
            f"altered; fetch it again"
        )
