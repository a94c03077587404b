"""The report: its files are those that report.json names, of the inputs it names, and come out the same again."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frod.audit import texts
from frod.audit.commits import REPORT, hash_here
from frod.audit.data import mirror_of, registered
from frod.audit.findings import NOTHING, Findings, difference
from frod.audit.presence import below
from frod.audit.study import OWN, RELEASED, Study, read_json
from frod.config import load
from frod.pipeline.load import _in_mirror
from frod.reporting import collect

REMEDY = "run `snakemake report`"


def check(study: Study, findings: Findings) -> None:
    """Hold files and inputs against report.json, and the files that are there against its list."""
    listing = study.report / collect.FILE
    for name, expected in study.written["files"].items():
        study.digests.compare(findings, study.report / name, expected, by=collect.FILE, remedy=REMEDY)
    own = set(study.written["files"]) | {collect.FILE, OWN} | _released(study, findings)
    for path in below(study.report):
        if path.is_symlink():
            findings.add(path, "is a link, not a file of the report", remedy=REMEDY)
        elif path.relative_to(study.report).as_posix() not in own:
            findings.add(path, f"a file that {collect.FILE} does not name", remedy="remove it")
    if (study.report / OWN).is_file():
        findings.notes.append(f"{study.report / OWN}: what an earlier audit wrote; nothing holds it")
    for path, expected in study.written["inputs"].items():
        study.digests.compare(findings, path, expected, by=str(listing), remedy=REMEDY)
    for table, name in study.astray:
        findings.add(listing, f"{table}: {name} leads out of the study, and was not read", remedy=REMEDY)
    texts.check(listing, "report", findings, remedy=REMEDY)
    if study.workflow.skipped and not study.workflow.suite.skip_missing:
        findings.add(listing, "skipped, though skip_missing is false", [], study.workflow.skipped, remedy=REMEDY)
    elif study.workflow.skipped:
        _check_skipped(study, listing, findings)
    places = {"suite": study.workflow.name, "summary": str(study.summary), "tasks": str(study.tasks)}
    findings.equal(listing, "", places, {name: study.written.get(name) for name in places})


def _check_skipped(study: Study, listing: Path, findings: Findings) -> None:
    """A mirror may have lacked the data of tasks that were left out; what shows that they were at hand is a finding."""
    from frod.tasks import registry

    planned = {task for task, _ in load(study.written["params"]).pairs()}
    known, own, mirror, left = registry.load(), study.workflow.suite.tasks, mirror_of(study), []
    for task in study.workflow.skipped:
        remedy = "run `snakemake`"
        if task not in planned:
            why = "the suite has no such task"
        elif not isinstance((spec := registered(study, task, known, own, registry.TaskSpec)).source, registry.Hub):
            why = "a mirror cannot lack its data, which are not the Hub's"
        elif mirror and _in_mirror(spec, mirror):
            why = f"the mirror {mirror} has its data"
        elif (study.tasks / task).exists():
            why, remedy = f"{study.tasks / task} has its data", f"`frod fetch` them into the mirror and {remedy}"
        else:
            left.append(task)
            continue
        findings.add(listing, f"skipped: {task}, and {why}", remedy=remedy)
    if left:
        findings.note(f"{listing}: tasks are left out, as a mirror lacked their data: {', '.join(left)}")


def _released(study: Study, findings: Findings) -> set[str]:
    """Files of the released protocol's report, which lies in this one and is audited by itself."""
    folder = study.report / RELEASED
    written = read_json(folder / collect.FILE)
    name = f"{study.workflow.name}/{RELEASED}"
    if folder.is_symlink() or not isinstance(written, dict) or written.get("suite") != name:
        return set()
    findings.notes.append(f"{folder}: the report of the released protocol; `frod audit {folder}` holds it")
    return {f"{RELEASED}/{one}" for one in (*written["files"], collect.FILE, OWN)}


def check_again(study: Study, findings: Findings) -> None:
    """Make the report once more from the runs' files, and compare file by file."""
    now, then = hash_here(REPORT), study.written["code"]["hash"]
    if now != then:
        findings.add(
            study.report / collect.FILE, "code.hash: written by other code than this", now, then, remedy=REMEDY
        )
    with findings.guard(study.report, "that the runs' files give this report"):
        # What git said then, it may say no more in a clone; `commits` holds it against git.
        where, since = {"tasks": study.tasks, "summary": study.summary}, study.written.get("since_first_run")
        texts, listing = collect.contents(study.workflow, study.written["params"], **where, since=since)
        _compare(study.report, texts, listing, findings)
        findings.checked["report files written once more"] += len(texts)


def _compare(report: Path, texts: Mapping[str, str], listing: Mapping[str, Any], findings: Findings) -> None:
    """Compare a report with what the runs' files give, file by file."""
    for name, text in sorted(texts.items()):
        path = report / name
        if not path.is_file():
            findings.add(path, "the runs' files give it, and it is missing", remedy=REMEDY)
        elif (there := path.read_bytes()) != text.encode():
            where, expected, found = first_difference(path.suffix, there.decode("utf-8", "replace"), text)
            findings.add(path, f"does not follow from the runs' files: {where}", expected, found, remedy=REMEDY)
    expected = json.loads(json.dumps(listing, allow_nan=False))
    found = json.loads((report / collect.FILE).read_text("utf-8"))
    found["code"] = None  # its hash is compared before; which commit it was is no part of what follows
    findings.equal(report / collect.FILE, "does not follow from the runs' files", expected, found, remedy=REMEDY)


def first_difference(kind: str, there: str, wanted: str) -> tuple[str, str, str]:
    """Where a file's text first differs from what is expected: a table's row and column, a key, or a line.

    `kind` is the end of the file's name.
    """
    closer = {".csv": _cell, ".json": _key}.get(kind)
    return (closer and closer(there, wanted)) or _line(there, wanted)


def _cell(there: str, wanted: str) -> tuple[str, str, str] | None:
    tables = [list(csv.reader(io.StringIO(text))) for text in (wanted, there)]
    header = tables[0][0] if tables[0] else []
    for number, (expected, found) in enumerate(zip(*tables), start=1):
        for column, (one, other) in enumerate(zip(expected, found)):
            if one != other:
                name = header[column] if column < len(header) else column + 1
                return f"line {number} ({','.join(expected[:5])}), column {name}", one, other
    if len(tables[0]) != len(tables[1]):
        return "lines", str(len(tables[0])), str(len(tables[1]))
    return None


def _key(there: str, wanted: str) -> tuple[str, str, str] | None:
    try:
        differing = difference(json.loads(wanted), json.loads(there))
    except (json.JSONDecodeError, RecursionError):
        return None
    return differing and (differing[0], str(differing[1]), str(differing[2]))


def _line(there: str, wanted: str) -> tuple[str, str, str]:
    lines = [text.splitlines() for text in (wanted, there)]
    for number, (expected, found) in enumerate(zip(*lines), start=1):
        if expected != found:
            start = next((i for i, pair in enumerate(zip(expected, found)) if pair[0] != pair[1]), 0)
            start = max(0, start - 30)
            return f"line {number}", expected[start : start + 80] or NOTHING, found[start : start + 80] or NOTHING
    return "lines", str(len(lines[0])), str(len(lines[1]))
