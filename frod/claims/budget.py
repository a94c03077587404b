"""The precondition of every comparison: compared runs had the same budget, by the records of what they did."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from frod.claims.claim import table
from frod.claims.evidence import Evidence
from frod.evaluation.formatting import listed, number
from frod.provenance.run_keys import pair_label

NOTE = (
    "Over the groups of runs that are compared: all methods of a task, model and seed. Test must have been predicted "
    "once (not under the released protocol, and not by a run that diverged, which stopped before its end). Not alike, "
    "and not meant to be: learning rates, parameters trained, memory and time."
)


class Held(NamedTuple):
    """One quantity, held over what is compared."""

    what: str
    all: int
    """Of groups, or of runs."""
    missing: int
    """Runs that do not record it."""
    differences: list[str]


def same_budget(evidence: Evidence) -> dict[str, Any]:
    """Whether compared runs had the same budget, data and choice of rates: same, reason, and a table of quantities."""
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for key in sorted(evidence.records):
        group = groups.setdefault(f"{pair_label(*key[:2])}, seed {key.seed}", {})
        group[key.method] = _facts(evidence.records[key], evidence.tuning.get(key[:3]))
    compared = {where: group for where, group in groups.items() if len(group) > 1}
    held = [*(_alike(what, compared) for what in _facts({}, None)), _test(evidence)]
    rows = [
        (of.what, f"{of.all - len(of.differences)} of {of.all}", of.missing or None, listed(of.differences) or None)
        for of in held
    ]
    columns = ["quantity", "alike", "runs without", "differences"]
    return {
        "same": not any(of.differences or of.missing for of in held),
        "reason": _reason(held, len(compared), sum(map(evidence.stopped, evidence.records))),
        "table": table("What compared runs have alike", columns, rows, note=NOTE),
    }


def _reason(held: Sequence[Held], groups: int, stopped: int) -> str:
    differing = [f"{of.what} ({listed(of.differences, 2)})" for of in held if of.differences]
    missing = [f"{of.what} ({number(of.missing, 'run')})" for of in held if of.missing]
    said = [f"These differ: {'; '.join(differing)}."] if differing else []
    said += [f"Not recorded: {listed(missing)}."] if missing else []
    said = said or [f"{len(held) - 1} quantities agree in all {number(groups, 'group')} of compared runs."]
    said += [f"{number(stopped, 'run')} diverged and stopped before the budget's end."] if stopped else []
    return " ".join(said)


def _alike(what: str, compared: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Held:
    """Where methods differ in a quantity: groups by name, with the values of two of them."""
    missing, differences = 0, []
    for where, group in compared.items():
        first: dict[str, str] = {}
        for method, facts in group.items():
            missing += facts[what] is None
            if facts[what] is not None:
                first.setdefault(json.dumps(facts[what], sort_keys=True).strip('"'), method)
        if len(first) > 1:
            each = [f"{method} {text if len(text) <= 60 else f'{text[:57]}...'}" for text, method in first.items()]
            differences.append(f"{where}: {', '.join(each[:2])}")
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


def _facts(record: Mapping[str, Any], chosen: Mapping[str, Any] | None) -> dict[str, Any]:
    """What compared runs must have alike, by a run's record and the trials of its rates; None: it is not recorded."""
    budget, inputs = record.get("budget") or {}, record.get("inputs") or {}
    paths = {given: PurePosixPath(given.replace("\\", "/")) for given in inputs}
    return {
        "optimiser steps": budget.get("steps"),
        "batch size": budget.get("batch_size"),
        "micro-batches a step": budget.get("accumulation"),
        "examples seen": budget.get("examples"),
        "order of the examples": budget.get("order_sha256"),
        "schedule, decay, clipping, precision": (record.get("spec") or {}).get("training"),
        "protocol": record.get("protocol"),
        # A basis (bases/BACKBONE/BASIS/manifest.json) and the rates chosen are a method's own.
        "weights and data": {
            str(path): inputs[given]
            for given, path in paths.items()
            if path.parts[-4:-3] != ("bases",) and path.name != "rates.json"
        }
        or None,
        "trials of rates": _trials(record, chosen),
    }


def _trials(record: Mapping[str, Any], chosen: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Number, seeds and budget of the trials; the number is 0 where the suite gave the rates."""
    tuning = record.get("tuning", {})
    if tuning is None:
        return {"number": 0}
    if not tuning or not chosen:
        return None
    return {"number": tuning.get("trials"), "seeds": tuning.get("seeds"), "budget": chosen.get("budget")}
