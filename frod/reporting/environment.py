"""What ran a suite, from the records of all its runs: where runs differ, each value with how many it holds for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from frod.evaluation import formatting as show
from frod.reporting.report import Report


def environment(report: Report) -> list[tuple[str, list[str]]]:
    """What ran the suite; several values where runs differ, each with how many runs it holds for."""
    wanted = (
        ("git commit", lambda r: _commit(r["code"])),
        ("code hash", lambda r: str(r["code"]["hash"])[:12]),
        ("python", lambda r: r["environment"].get("python")),
        ("platform", lambda r: r["environment"].get("platform")),
        ("processor", lambda r: r["environment"].get("processor")),
        ("numerics", lambda r: r["environment"].get("numerics") or "native"),
        ("accelerator", lambda r: r["environment"].get("accelerator") or "none"),
        ("threads", lambda r: r["environment"].get("threads")),
        ("deterministic", lambda r: r["environment"].get("deterministic")),
    )
    records = [report.records[key] for key in sorted(report.records)]
    rows = [(name, _tally([show.plain(read(record)) for record in records])) for name, read in wanted]
    resumed = sum(bool(record.get("resumed_from_step")) for record in records)
    if resumed:
        rows.append(("resumed", [f"{show.number(resumed, 'run')} went on from a checkpoint"]))
    started = sorted(str(record["started"]) for record in records if record.get("started"))
    finished = sorted(str(record["finished"]) for record in records if record.get("finished"))
    if started and finished:
        rows.append(("when", [f"{_moment(started[0])} to {_moment(finished[-1])}"]))
    return rows


def _moment(text: str) -> str:
    """A time to the second; ISO times of one offset sort as text, and records are written in UTC."""
    return re.sub(r"\.\d+", "", text).replace("T", " ").replace("+00:00", " UTC")


def _commit(code: Mapping[str, Any]) -> str:
    commit = str(code.get("git_commit") or "not in a git repository")[:12]
    return f"{commit}, with uncommitted changes" if code.get("git_dirty") else commit


def _tally(values: Sequence[str]) -> list[str]:
    counted = {value: values.count(value) for value in values}
    if len(counted) == 1:
        return list(counted)
    return [f"{value} ({show.number(times, 'run')})" for value, times in counted.items()]


def packages(report: Report) -> list[tuple[str, list[str]]]:
    """Installed packages with their versions, several where runs differ."""
    records = [report.records[key] for key in sorted(report.records)]
    installed = [record["environment"].get("packages") or {} for record in records]
    names = sorted({name for packages in installed for name in packages})
    return [(name, _tally([show.plain(packages.get(name)) for packages in installed])) for name in names]
