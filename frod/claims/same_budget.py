"""Claim: all this under identical training budgets. Read off the records of what the runs did."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from statistics import median
from typing import Any

from frod.claims.claim import Verdict, claim, contradicted, figure, supported, table, undecided, untestable
from frod.claims.evidence import REFERENCE, SUBJECT, Evidence, RunKey, name
from frod.claims.wording import listed, number

SAYS = "Full fine-tuning is matched under identical training budgets."
TEST = (
    "All methods of a task, model and seed must agree, in the records of what they did, in each quantity of the table "
    "below; learning rates must have been chosen from equally many trials of equal length. Under the audited protocol "
    "test must have been predicted once. A run that diverged had the same budget and stopped before its end: its test "
    "was not predicted, and it is counted."
)
NOTE = (
    "Over the groups of runs that are compared: all methods of a task, model and seed. Not alike, and not meant to be: "
    "learning rates, parameters trained, memory and time."
)
Group = tuple[str, str, int]


def same_budget(evidence: Evidence) -> dict[str, Any]:
    """Judge whether compared runs had the same budget, data and choice of rates."""
    groups: dict[Group, dict[str, RunKey]] = {}
    for key in sorted(evidence.records):
        groups.setdefault((key[0], key[1], key[3]), {})[key[2]] = key
    compared = {group: keys for group, keys in groups.items() if len(keys) > 1}
    faults = {what: _differing(evidence, compared, read) for what, read in QUANTITIES.items()}
    holes = {what: _missing(evidence, compared, read) for what, read in QUANTITIES.items()}
    tests = _tests(evidence)
    return claim(
        "same_budget",
        title="Identical budgets",
        says=SAYS,
        test=TEST,
        verdict=_verdict(compared, faults, holes, tests, len(evidence.diverged)),
        figures=_figures(evidence, compared, faults, holes),
        tables=[_table(compared, faults, holes, tests)] if compared else [],
    )


def _budget(field: str) -> Callable[[Evidence, RunKey], Any]:
    return lambda evidence, key: (evidence.records[key].get("budget") or {}).get(field)


def _training(evidence: Evidence, key: RunKey) -> Any:
    return (evidence.records[key].get("spec") or {}).get("training")


def _protocol(evidence: Evidence, key: RunKey) -> Any:
    return evidence.records[key].get("protocol")


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


QUANTITIES: dict[str, Callable[[Evidence, RunKey], Any]] = {
    "optimiser steps": _budget("steps"),
    "batch size": _budget("batch_size"),
    "micro-batches a step": _budget("accumulation"),
    "examples seen": _budget("examples"),
    "order of the examples": _budget("order_sha256"),
    "schedule, decay, clipping, precision": _training,
    "protocol": _protocol,
    "weights and data": _inputs,
    "trials of rates": _trials,
}


def _differing(
    evidence: Evidence, compared: Mapping[Group, Mapping[str, RunKey]], read: Callable[[Evidence, RunKey], Any]
) -> list[str]:
    """Groups whose methods differ in a quantity: by name, with the values of two of them."""
    faults = []
    for (task, backbone, seed), keys in compared.items():
        found: dict[str, str] = {}
        for method, key in keys.items():
            value = read(evidence, key)
            if value is not None:
                found.setdefault(json.dumps(value, sort_keys=True), method)
        if len(found) > 1:
            (first, one), (second, other), *_ = found.items()
            values = f"{one} {_short(first)}, {other} {_short(second)}"
            faults.append(f"{name((task, backbone))}, seed {seed}: {values}")
    return faults


def _short(text: str) -> str:
    text = text.strip('"')
    return text if len(text) <= 60 else f"{text[:57]}..."


def _missing(
    evidence: Evidence, compared: Mapping[Group, Mapping[str, RunKey]], read: Callable[[Evidence, RunKey], Any]
) -> int:
    """How many runs do not record a quantity."""
    return sum(read(evidence, key) is None for keys in compared.values() for key in keys.values())


def _tests(evidence: Evidence) -> dict[str, int | None]:
    """How often each run of the audited protocol predicted test; None where it is not recorded."""
    return {
        f"{name(key[:2])}, {key[2]}, seed {key[3]}": (record.get("evaluations") or {}).get("test")
        for key, record in sorted(evidence.records.items(), key=lambda item: item[0])
        if record.get("protocol") != "released" and not record.get("diverged")
    }


def _wrong(tests: Mapping[str, int | None]) -> list[str]:
    return [f"{where}: {times} times" for where, times in tests.items() if times not in (1, None)]


def _unknown(tests: Mapping[str, int | None]) -> int:
    return sum(times is None for times in tests.values())


def _verdict(
    compared: Mapping[Group, Mapping[str, RunKey]],
    faults: Mapping[str, list[str]],
    holes: Mapping[str, int],
    tests: Mapping[str, int | None],
    lost: int,
) -> Verdict:
    if not any(SUBJECT in keys and REFERENCE in keys for keys in compared.values()):
        return untestable("No task, model and seed has runs of both FRoD and full fine-tuning.")
    found = [f"{what} ({listed(of, 2)})" for what, of in faults.items() if of]
    wrong = _wrong(tests)
    found += [f"test predicted more or less than once ({listed(wrong, 2)})"] if wrong else []
    groups = number(len(compared), "group")
    if found:
        return contradicted(f"Runs that are compared differ in: {'; '.join(found)}.{_stopped(lost)}")
    unknown = [f"{what} ({number(count, 'run')})" for what, count in holes.items() if count]
    unknown += [f"how often test was predicted ({number(_unknown(tests), 'run')})"] if _unknown(tests) else []
    if unknown:
        agrees = f"What is recorded agrees in all {groups} of compared runs."
        return undecided(f"Not recorded: {listed(unknown)}. {agrees}{_stopped(lost)}")
    runs = number(sum(map(len, compared.values())), "run")
    return supported(
        f"In all {groups} of compared runs (same task, model and seed; {runs}) {len(QUANTITIES)} quantities "
        "agree, the order of the examples and the number of trials included. The same budget is not the same time or "
        f"memory.{_stopped(lost)}"
    )


def _stopped(lost: int) -> str:
    return f" {number(lost, 'run')} diverged and stopped before the budget's end." if lost else ""


def _figures(
    evidence: Evidence,
    compared: Mapping[Group, Mapping[str, RunKey]],
    faults: Mapping[str, list[str]],
    holes: Mapping[str, int],
) -> list[dict[str, Any]]:
    alike = sum(not of and not holes[what] for what, of in faults.items())
    figures = (
        [figure("quantities that agree", alike, unit=f"of {len(QUANTITIES)}", n=len(compared))] if compared else []
    )
    for method in evidence.others:
        both = [keys for keys in compared.values() if SUBJECT in keys and method in keys]
        seconds = [(_seconds(evidence, keys[SUBJECT]), _seconds(evidence, keys[method])) for keys in both]
        ratios = [ours / other for ours, other in seconds if ours and other]
        if ratios:
            label = f"FRoD's seconds of training over {evidence.label(method)}'s"
            figures.append(figure(label, median(ratios), unit="ratio, median", n=len(ratios)))
    return figures


def _seconds(evidence: Evidence, key: RunKey) -> float | None:
    """Of a whole training: one that diverged took less."""
    return None if key in evidence.diverged else (evidence.records[key].get("resources") or {}).get("train_seconds")


def _table(
    compared: Mapping[Group, Any],
    faults: Mapping[str, list[str]],
    holes: Mapping[str, int],
    tests: Mapping[str, int | None],
) -> dict[str, Any]:
    rows = [
        [what, f"{len(compared) - len(of)} of {len(compared)}", holes[what] or None, listed(of, 3) or None]
        for what, of in faults.items()
    ]
    if tests:
        once = f"{sum(times == 1 for times in tests.values())} of {number(len(tests), 'run')}"
        differing = listed(_wrong(tests), 3) or None
        rows.append(["test predicted once (audited protocol)", once, _unknown(tests) or None, differing])
    return table(
        "What compared runs have alike", ["quantity", "groups alike", "runs without", "differences"], rows, note=NOTE
    )
