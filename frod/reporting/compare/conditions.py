"""What is behind the results of two reports and differs: settings, budgets, data, code, environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    """All that differs, in groups: first what most likely makes figures differ."""
    return [*_inputs(a, b), *_params(a, b), *_suite(a, b), *_budgets(a, b), *_environment(a, b), *_code(a, b)]


def _params(a: Side, b: Side) -> list[Setting]:
    if a.report is None or b.report is None:
        return []
    return _differing("parameter", flat(a.report["params"]), flat(b.report["params"]))


def _suite(a: Side, b: Side) -> list[Setting]:
    """What differs in the suite's file, such as learning rates; two suites of other names differ in all."""
    if a.suite is None or b.suite is None or set(a.results["suite"]) != set(b.results["suite"]):
        return []
    return _differing("suite file", flat(a.suite), flat(b.suite))


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


def _inputs(a: Side, b: Side) -> list[Setting]:
    """Weights, prepared tasks and bases of another content, where both sides name them."""
    return _differing(
        "inputs", *({_named(path): of[path] for path in sorted(of)} for of in map(_read, (a, b))), shared=True
    )


def _read(side: Side) -> dict[str, str]:
    """What the runs read: path to the beginning of its sha256."""
    of_runs = [run.get("inputs", {}) for run in (side.runs or {}).values()] + [one.get("inputs", {}) for one in side.records]
    of_runs.append((side.report or {}).get("inputs", {}))
    return {
        path: digest[:12]
        for inputs in reversed(of_runs)
        for path, digest in inputs.items()
        if path.endswith(("source.json", "manifest.json"))
    }


def _named(path: str) -> str:
    """data/models/digit_vit/source.json: weights of digit_vit."""
    parts = Path(path).parent.parts
    kind = next((part for part in parts if part in INPUTS), None)
    return f"{INPUTS[kind]} {' on '.join(parts[parts.index(kind) + 1 :])}" if kind else path


def _code(a: Side, b: Side) -> list[Setting]:
    sides = []
    for side in (a, b):
        names = {"code_hash": "code of the runs", "git_commit": "commit of the runs", "git_dirty": "edited since"}
        seen = {label: _values(side.results[name], 12) for name, label in names.items() if name in side.results}
        if side.report is not None:
            seen["code of the report"] = side.report["code"]["hash"][:12]
        sides.append(seen)
    return _differing("code", *sides, shared=True)


def _environment(a: Side, b: Side) -> list[Setting]:
    if not a.records or not b.records:
        return _machines(a, b)
    sides = []
    for side in (a, b):
        of_runs = [record["environment"] for record in side.records]
        seen = {name: _values([one.get(name) for one in of_runs]) for name in MACHINE}
        packages = [one.get("packages") or {} for one in of_runs]
        names = sorted({name for one in packages for name in one})
        sides.append(seen | {name: _values([one.get(name) for one in packages]) for name in names})
    return _differing("environment", *sides)


def _machines(a: Side, b: Side) -> list[Setting]:
    """The part of the environment that runs.json has, where the records themselves are not here."""
    if a.runs is None or b.runs is None:
        return []
    sides = []
    for runs in (a.runs, b.runs):
        machines = [
            {name: value for name, value in flat(run).items() if name not in FILES and not name.startswith("inputs")}
            for run in runs.values()
        ]
        names = dict.fromkeys(name for one in machines for name in one)
        sides.append({name: _values([one.get(name) for one in machines]) for name in names})
    return _differing("environment", *sides)


def _differing(group: str, a: Mapping[str, Any], b: Mapping[str, Any], *, shared: bool = False) -> list[Setting]:
    """What differs; `shared`: but for what only one side knows of."""
    known = [name for name in a if name in b] if shared else dict.fromkeys([*a, *b])
    names = [name for name in known if a.get(name) != b.get(name)]
    return [Setting(group=group, name=name, a=_text(a.get(name)), b=_text(b.get(name))) for name in names]


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _values(column: Iterable[Any], characters: int | None = None) -> str:
    """The values that occur, one for all runs where all agree."""
    import pandas as pd

    return ", ".join(sorted({"none" if pd.isna(value) else str(value)[:characters] for value in column}))
