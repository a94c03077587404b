"""What is behind the results of two reports and differs: settings, budgets, data, code, environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

from frod.reporting.compare.revisions import Side
from frod.reporting.compare.run_files import FILES
from frod.reporting.comparison import by_pair
from frod.reporting.flat import flat

BUDGET = ("protocol", "primary", "steps", "batch_size", "accumulation", "epochs", "examples", "trials", "test_examples")
MACHINE = ("numerics", "processor", "accelerator", "threads", "python", "platform")
INPUTS = {"models": "weights of", "tasks": "task", "bases": "basis of"}  # by their folder


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One thing behind the results that differs."""

    group: str
    name: str
    a: str | None
    b: str | None


def settings(a: Side, b: Side) -> list[Setting]:
    """All that differs, in groups, the likeliest cause of other figures first.

    Of what only one side has, nothing can be said.
    """
    found = _differing("inputs", _inputs(a), _inputs(b), shared=True)
    if a.report is not None and b.report is not None:
        found += _differing("parameter", flat(a.report["params"]), flat(b.report["params"]))
    # The files of two suites of other names differ in all.
    if a.suite is not None and b.suite is not None and set(a.results["suite"]) == set(b.results["suite"]):
        found += _differing("suite file", flat(a.suite), flat(b.suite))
    found += _budgets(a, b)
    if a.records and b.records:
        found += _differing("environment", _environment(a.records), _environment(b.records))
    elif a.runs is not None and b.runs is not None:
        found += _differing("environment", _machines(a.runs), _machines(b.runs))
    return found + _differing("code", _code(a), _code(b), shared=True)


def _budgets(a: Side, b: Side) -> list[Setting]:
    """What the runs did, by task, where both sides have the task."""
    of_task = [by_pair(side.results) for side in (a, b)]
    found = []
    for task in (key for key in of_task[0] if key in of_task[1]):
        seen = [
            {name: _values(_of(rows[task], name)) for name in BUDGET if all(name in side[task] for side in of_task)}
            for rows in of_task
        ]
        found += _differing(f"{task[0]} on {task[1]}", *seen)
    return found


def _of(rows: pd.DataFrame, name: str) -> pd.Series:
    """A column of the budget; a run that stopped early predicted no test example, which is no budget of its own."""
    predicted = rows["test_examples"] > 0 if name == "test_examples" else rows[name].notna()
    return rows[name][predicted] if predicted.any() else rows[name]


def _inputs(side: Side) -> dict[str, str]:
    """Contents of the weights, prepared tasks and bases that the runs read, as far as the side names them."""
    named = [run.get("inputs", {}) for run in (side.runs or {}).values()] + [
        one.get("inputs", {}) for one in side.records
    ]
    found: dict[str, str] = {}
    for path, digest in sorted(
        pair for inputs in [(side.report or {}).get("inputs", {}), *named] for pair in inputs.items()
    ):
        parts = Path(path).parent.parts
        kind = next((part for part in parts if part in INPUTS), None)
        if kind:
            found[f"{INPUTS[kind]} {' on '.join(parts[parts.index(kind) + 1 :])}"] = digest[:12]
    return found


def _code(side: Side) -> dict[str, str]:
    names = {"code_hash": "code of the runs", "git_commit": "commit of the runs", "git_dirty": "edited since"}
    seen = {label: _values(side.results[name], 12) for name, label in names.items() if name in side.results}
    return seen if side.report is None else seen | {"code of the report": side.report["code"]["hash"][:12]}


def _environment(records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    of_runs = [record["environment"] for record in records]
    packages = [one.get("packages") or {} for one in of_runs]
    return _each(of_runs, MACHINE) | _each(packages, sorted({name for one in packages for name in one}))


def _machines(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The part of the environment that runs.json has, where the records themselves are not here."""
    machines = [
        {name: value for name, value in flat(run).items() if name not in FILES and not name.startswith("inputs")}
        for run in runs.values()
    ]
    return _each(machines, dict.fromkeys(name for one in machines for name in one))


def _each(tables: Sequence[Mapping[str, Any]], names: Iterable[str]) -> dict[str, str]:
    return {name: _values([one.get(name) for one in tables]) for name in names}


def _differing(group: str, a: Mapping[str, Any], b: Mapping[str, Any], *, shared: bool = False) -> list[Setting]:
    """What differs; `shared`: but for what only one side knows of."""
    known = [name for name in a if name in b] if shared else dict.fromkeys([*a, *b])
    pairs = {name: (a.get(name), b.get(name)) for name in known}
    texts = {name: [None if v is None else str(v) for v in pair] for name, pair in pairs.items() if pair[0] != pair[1]}
    return [Setting(group=group, name=name, a=one, b=other) for name, (one, other) in texts.items()]


def _values(column: Iterable[Any], characters: int | None = None) -> str:
    """The values that occur, one for all runs where all agree."""
    import pandas as pd

    return ", ".join(sorted({"none" if pd.isna(value) else str(value)[:characters] for value in column}))
