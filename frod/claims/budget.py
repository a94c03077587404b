"""The precondition of every comparison: compared runs had the same budget, by the records of what they did."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from frod.claims.claim import table
from frod.claims.evidence import Evidence
from frod.evaluation.formatting import listed, number
from frod.evaluation.runs import RunKey, pair_label

NOTE = (
    "Over the groups of runs that are compared: all methods of a task, model and seed. Test must have been predicted "
    "once (not under the released protocol, and not by a run that diverged, which stopped before its end). Not alike, "
    "and not meant to be: learning rates, parameters trained, memory and time."
)
Group = Mapping[str, RunKey]
Read = Callable[[Evidence, RunKey], Any]


class Held(NamedTuple):
    """One quantity, held over what is compared."""

    what: str
    number: int
    """Of groups, or of runs."""
    missing: int
    """Runs that do not record it."""
    differences: list[str]


def same_budget(evidence: Evidence) -> dict[str, Any]:
    """Whether compared runs had the same budget, data and choice of rates: same, reason, and a table of quantities."""
    groups: dict[tuple[str, str, int], dict[str, RunKey]] = {}
    for key in sorted(evidence.records):
        groups.setdefault((key[0], key[1], key[3]), {})[key[2]] = key
    compared = [group for group in groups.values() if len(group) > 1]
    held = [_alike(evidence, compared, what, read) for what, read in QUANTITIES.items()] + [_test(evidence)]
    rows = [
        (
            of.what,
            f"{of.number - len(of.differences)} of {of.number}",
            of.missing or None,
            listed(of.differences, 3) or None,
        )
        for of in held
    ]
    columns = ["quantity", "alike", "runs without", "differences"]
    return {
        "same": not any(of.differences or of.missing for of in held),
        "reason": _reason(held, len(compared), sum(map(evidence.stopped, evidence.records))),
        "table": table("What compared runs have alike", columns, rows, note=NOTE),
    }


def _reason(held: Iterable[Held], groups: int, stopped: int) -> str:
    differing = [f"{of.what} ({listed(of.differences, 2)})" for of in held if of.differences]
    missing = [f"{of.what} ({number(of.missing, 'run')})" for of in held if of.missing]
    said = [f"These differ: {'; '.join(differing)}."] if differing else []
    said += [f"Not recorded: {listed(missing)}."] if missing else []
    said = said or [f"{len(QUANTITIES)} quantities agree in all {number(groups, 'group')} of compared runs."]
    said += [f"{number(stopped, 'run')} diverged and stopped before the budget's end."] if stopped else []
    return " ".join(said)


def _alike(evidence: Evidence, compared: Sequence[Group], what: str, read: Read) -> Held:
    """Where methods differ in a quantity: groups by name, with the values of two of them."""
    missing, differences = 0, []
    for group in compared:
        values = {method: read(evidence, key) for method, key in group.items()}
        missing += sum(value is None for value in values.values())
        first: dict[str, str] = {}
        for method, value in values.items():
            if value is not None:
                first.setdefault(json.dumps(value, sort_keys=True).strip('"'), method)
        if len(first) > 1:
            task, backbone, _, seed = next(iter(group.values()))
            each = [f"{method} {text if len(text) <= 60 else f'{text[:57]}...'}" for text, method in first.items()]
            differences.append(f"{pair_label(task, backbone)}, seed {seed}: {', '.join(each[:2])}")
    return Held(what, len(compared), missing, differences)


def _test(evidence: Evidence) -> Held:
    """How often the runs predicted test, where it must be once."""
    times = {
        f"{pair_label(*key[:2])}, {key[2]}, seed {key[3]}": (record.get("evaluations") or {}).get("test")
        for key, record in sorted(evidence.records.items(), key=lambda item: item[0])
        if record.get("protocol") != "released" and not evidence.stopped(key)
    }
    more = [f"{where}: {often} times" for where, often in times.items() if often not in (1, None)]
    return Held("test predicted once", len(times), sum(often is None for often in times.values()), more)


def _field(*path: str) -> Read:
    def read(evidence: Evidence, key: RunKey) -> Any:
        value: Any = evidence.records[key]
        for field in path:
            value = (value or {}).get(field)
        return value

    return read


def _inputs(evidence: Evidence, key: RunKey) -> Any:
    """Weights and data; a basis (bases/BACKBONE/BASIS/manifest.json) and the rates chosen are a method's own."""
    inputs = evidence.records[key].get("inputs") or {}
    paths = {path: PurePosixPath(path.replace("\\", "/")) for path in inputs}
    shared = {
        str(path): inputs[given]
        for given, path in paths.items()
        if path.parts[-4:-3] != ("bases",) and path.name != "rates.json"
    }
    return shared or None


def _trials(evidence: Evidence, key: RunKey) -> Any:
    """Number, seed and budget of the trials of rates; the number is 0 where the suite gave the rates."""
    record, chosen = evidence.records[key], evidence.tuning.get(key[:3])
    if "tuning" not in record:
        return None
    tuning = record["tuning"]
    if tuning is None:
        return {"number": 0}
    return chosen and {"number": tuning.get("trials"), "seed": tuning.get("seed"), "budget": chosen.get("budget")}


QUANTITIES: dict[str, Read] = {
    "optimiser steps": _field("budget", "steps"),
    "batch size": _field("budget", "batch_size"),
    "micro-batches a step": _field("budget", "accumulation"),
    "examples seen": _field("budget", "examples"),
    "order of the examples": _field("budget", "order_sha256"),
    "schedule, decay, clipping, precision": _field("spec", "training"),
    "protocol": _field("protocol"),
    "weights and data": _inputs,
    "trials of rates": _trials,
}
