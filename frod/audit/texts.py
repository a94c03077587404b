"""JSON files hold what the workflow writes, to the letter: no second value of a key, no digit and no key besides.

A parser takes the last of a key's values, where a reader sees the first.
"""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

from frod.audit.findings import NOTHING, Findings
from frod.audit.runs import AGAIN
from frod.audit.study import read_json
from frod.audit.traces import Traces
from frod.provenance import records

_BOTH = {"spec", "inputs", "code", "environment", "processes", "budget", "evaluations", "undefined", "outputs"}
_BOTH |= {"started", "finished", "resumed_from_step"}
RUN = _BOTH | {"run", "protocol", "tuning", "best_epoch", "parameters", "resources", "seeds"}
TRIAL = _BOTH | {"rates", "seed", "metric", "validation", "validation_loss", "train_seconds"}
INNER = {  # of the tables that nothing else holds key by key
    "code": set(records.REQUIRED["code"]),
    "environment": {*records.REQUIRED["environment"], "platform", "numerics"},
    "processes": {"count", "sharded", "backend", "gpus", "threads"},
    "parameters": {"trainable", "base", "matched", "degenerate"},
    "resources": set(records.REQUIRED["resources"]),
}


def check(path: Path, command: str, findings: Findings, *, remedy: str) -> None:
    """Hold a file's text against its content, as `frod COMMAND` writes it; what is no JSON is named elsewhere."""
    content = read_json(path)
    if content is not None:
        hold(path, content, command, findings, remedy=remedy)


def hold(path: Path, content: Any, command: str, findings: Findings, *, remedy: str) -> None:
    """Hold a file's text against what `frod COMMAND` writes of this content."""
    try:
        wanted = json.dumps(content, indent=2, ensure_ascii=command == "basis", allow_nan=False) + "\n"
    except ValueError:
        findings.add(path, "holds a number that is no JSON", "a finite number or null", "NaN or inf", remedy=remedy)
        return
    found = path.read_bytes().decode("utf-8")  # whose line ends count
    if wanted != found:
        lines = enumerate(zip_longest(wanted.split("\n"), found.split("\n"), fillvalue=NOTHING), start=1)
        number, (one, other) = next((number, pair) for number, pair in lines if pair[0] != pair[1])
        findings.add(path, f"is not as `frod {command}` writes it: line {number}", one, other, remedy=remedy)


def check_record(left: Traces, findings: Findings) -> None:
    """A training's record: its text, and that it has the keys that the workflow writes, and no others."""
    if not left.record:
        return
    check(left.path, "trial" if left.is_trial else "train", findings, remedy=AGAIN)
    for table, names in {"": TRIAL if left.is_trial else RUN, **INNER}.items():
        there: Any = left.record.get(table) if table else left.record
        for name in sorted(there.keys() - names) if isinstance(there, dict) else ():
            findings.add(left.path, f"{table}.{name}".lstrip("."), NOTHING, there[name], remedy=AGAIN)
