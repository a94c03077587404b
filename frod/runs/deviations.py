"""The files of a finished run next to those of its replay: which numbers differ in a bit, and by how much.

How far apart two trainings are is said as a share of what training did, so that one measure serves adapters that start
at zero and weights that hardly move.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from frod.evaluation.metrics import NO_ANSWER

if TYPE_CHECKING:
    import pandas as pd

# Columns of a history that tell of the machine, not of the training.
OF_THE_MACHINE = ("seconds", "step_seconds", "rss_bytes", "cpu_percent", "gpu_bytes")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One kind of numbers of the finished run next to the replay's.

    Attributes
    ----------
    values, differing : int
        How many there are, and how many of them are not the same bit for bit.
    largest : float
        Largest difference of two values; 0 for what are no numbers, inf where one side lacks some.
    share : float
        The difference as a share, which is held against the tolerance; inf for what may not differ on any machine.
    where : str
        The first, or the one that differs most.
    """

    what: str
    values: int
    differing: int = 0
    largest: float = 0.0
    share: float = 0.0
    where: str = ""

    @property
    def exact(self) -> bool:
        """Whether all is the same bit for bit."""
        return self.differing == 0


def adapters(old: Path, new: Path, start: Callable[[], Path]) -> Compared:
    """Compare what was trained; the share is of the way that training went: |new - old| / |old - start|.

    Parameters
    ----------
    start : callable
        Gives a file of the same numbers before training; called only where something differs.
    """
    from safetensors import SafetensorError, safe_open

    try:
        safe_open(old, framework="numpy")
    except SafetensorError as error:
        raise ValueError(
            f"{old}: is no whole adapter ({error}); `dvc checkout`, or remove the run and run `snakemake`"
        ) from error
    with safe_open(old, framework="numpy") as one, safe_open(new, framework="numpy") as other:
        names = one.keys()
        unlike = sorted(set(names) ^ set(other.keys()))
        unlike = unlike or [name for name in names if _form(one.get_tensor(name)) != _form(other.get_tensor(name))]
        if unlike or one.metadata() != other.metadata():
            where = f"tensors {unlike[:3]}" if unlike else "settings in the file's head"
            return _unlike("adapter", len(names), len(unlike) or 1, where)
        found = {name: _apart(one.get_tensor(name), other.get_tensor(name)) for name in names}
        values, differing = (sum(column) for column in list(zip(*found.values()))[:2])
        if not differing:
            return Compared(what="adapter", values=values)
        with safe_open(start(), framework="numpy") as before:
            gone = sum(_apart(one.get_tensor(name), before.get_tensor(name)).square for name in names)
    return Compared(
        what="adapter",
        values=values,
        differing=differing,
        largest=max(apart.largest for apart in found.values()),
        share=_quotient(math.sqrt(sum(apart.square for apart in found.values())), math.sqrt(gone)),
        where=max(found, key=lambda name: found[name].square),
    )


def predictions(old: pd.DataFrame, new: pd.DataFrame) -> list[Compared]:
    """Compare predictions: which examples, what was predicted (share: of all examples), and the scores.

    The scores' share is of their spread over the examples, in the root mean square.
    """
    keys = ["split", "example_id", "label"]
    if list(old) != list(new) or len(old) != len(new):
        return [_unlike("predictions: examples", len(old), abs(len(old) - len(new)) or 1)]
    unlike = (old[keys].to_numpy() != new[keys].to_numpy()).any(axis=1)
    if unlike.any():
        return [_unlike("predictions: examples", len(old), int(unlike.sum()), f"row {np.flatnonzero(unlike)[0]}")]
    if "bytes" in old:  # of the answers' texts, which no machine alters
        sizes = [[list(row) for row in table["bytes"]] for table in (old, new)]
        unlike = [one != other for one, other in zip(*sizes)]
        if any(unlike):
            return [_unlike("predictions: bytes", len(old), sum(unlike), f"row {unlike.index(True)}")]
    if not len(old):  # of runs that diverged
        return [Compared(what="predictions: examples", values=0)]
    one, other = (np.stack(list(table["scores"])) for table in (old, new))
    if one.shape != other.shape:
        return [_unlike("predictions: scores", one.size, one.size)]
    found = [Compared(what="predictions: examples", values=len(old))]
    written = "text" in old  # answers in writing
    chosen = old["prediction"].to_numpy(), new["prediction"].to_numpy()
    if written:
        count = int((old[["prediction", "text"]] != new[["prediction", "text"]]).any(axis=1).sum())
        found.append(Compared(what="predictions: texts", values=len(old), differing=count, share=count / len(old)))
    if one.shape[1] > 1:
        unlike = chosen[0] != chosen[1]
        count = int(unlike.sum())
        where = f"example {old['example_id'].to_numpy()[unlike][0]}" if count else ""
        what = "predictions: classes"
        found.append(Compared(what=what, values=len(old), differing=count, share=count / len(old), where=where))
    one, other = (np.where(scores == np.float32(NO_ANSWER), np.float32(np.nan), scores) for scores in (one, other))
    spread = math.sqrt(float(np.nanmean((one - np.nanmean(one, axis=0)) ** 2)))
    if one.shape[1] == 1 and not written:
        found.append(numbers("predictions: values", *chosen, scale=spread))
    return [*found, numbers("predictions: scores", one, other, scale=spread)]


def histories(old: pd.DataFrame, new: pd.DataFrame) -> list[Compared]:
    """Compare each column that tells of the training; the share is of the column's own root mean square."""
    columns = [[name for name in table if name not in OF_THE_MACHINE] for table in (old, new)]
    if columns[0] != columns[1] or len(old) != len(new):
        return [_unlike("history: steps", len(old), abs(len(old) - len(new)) or 1)]
    return [
        numbers(f"history: {name}", old[name].to_numpy(np.float64), new[name].to_numpy(np.float64))
        for name in columns[0]
    ]


def metrics(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Compared]:
    """Compare what metrics.json holds; the share is the plain difference.

    Not the hash of the predictions, nor why a run has no figure, which the record has, too.
    """
    facts = {k: v for k, v in old.items() if k not in ("metrics", "predictions_sha256", "undefined")}
    found = [exactly("metrics: examples", facts, {name: new.get(name) for name in facts})]
    for split in dict.fromkeys([*old["metrics"], *new["metrics"]]):
        one, other = old["metrics"].get(split, {}), new["metrics"].get(split, {})
        for name in dict.fromkeys([*one, *other]):
            was, now = (np.array([math.nan if v is None else v]) for v in (one.get(name), other.get(name)))
            found.append(numbers(f"metrics: {split} {name}", was, now, scale=1.0))
    return found


def exactly(what: str, old: Any, new: Any) -> Compared:
    """Compare facts that are the same on every machine, tables of them by their names."""
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return Compared(what=what, values=1) if old == new else _unlike(what, 1, 1, f"{old}, now {new}")
    unlike = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return _unlike(what, len(old), len(unlike), ", ".join(unlike)) if unlike else Compared(what=what, values=len(old))


def numbers(what: str, old: np.ndarray, new: np.ndarray, scale: float | None = None) -> Compared:
    """Compare arrays of one shape; the share is the difference's root mean square over `scale`, or over old's own."""
    there = ~np.isnan(old)
    apart = _apart(old, new)
    if not apart.differing:
        return Compared(what=what, values=old.size)
    scale = math.sqrt(float((old[there].astype(np.float64) ** 2).mean())) if scale is None else scale
    return Compared(
        what=what,
        values=old.size,
        differing=apart.differing,
        largest=apart.largest,
        share=_quotient(math.sqrt(apart.square / max(1, int(there.sum()))), scale),
        where=f"row {apart.first}" if old.size > 1 else f"{old[0]:.6g} there, {new[0]:.6g} in the replay",
    )


class Apart(NamedTuple):
    """How far two arrays of one shape and dtype are apart."""

    values: int
    differing: int
    """Numbers that are not the same bit for bit."""
    square: float
    """Sum of squared differences; inf where only one has nan."""
    largest: float
    first: int
    """Row of the first that differs."""


def _apart(one: np.ndarray, other: np.ndarray) -> Apart:
    raw = [np.atleast_1d(np.ascontiguousarray(a)).view(np.uint8).reshape(max(1, a.size), -1) for a in (one, other)]
    differing = (raw[0] != raw[1]).any(axis=1)
    if not differing.any():
        return Apart(one.size, 0, 0.0, 0.0, 0)
    distance = np.abs(one.astype(np.float64) - other).reshape(-1)[differing]
    distance[np.isnan(distance)] = math.inf
    row = int(np.flatnonzero(differing)[0]) // max(1, one.size // len(np.atleast_1d(one)))
    return Apart(one.size, int(differing.sum()), float((distance**2).sum()), float(distance.max()), row)


def _unlike(what: str, values: int, differing: int, where: str = "") -> Compared:
    return Compared(what=what, values=values, differing=differing, largest=math.inf, share=math.inf, where=where)


def _form(tensor: np.ndarray) -> tuple[Any, ...]:
    return tensor.shape, tensor.dtype


def _quotient(part: float, whole: float) -> float:
    return part / whole if whole > 0 else (math.inf if part > 0 else 0.0)
