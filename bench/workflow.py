"""What a finished project costs: its last run by rule, Snakemake with nothing to be done, an audit.

    python -m bench.workflow PROJECT           reads its Snakemake's log, calls snakemake and frod audit in it

Seconds of jobs are by the clock, to one second, as the log has them; a processor is idle where fewer jobs run than
there are cores (a job of several threads counts as one). Writes bench/results/workflow.json.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.machine import describe, load
from bench.settings import RESULTS
from frod import files

LIMITS = {"last_run": 300.0, "nothing_to_do": 2.0, "audit": 6.0}  # seconds of the smoke suite, on two idle cores
# Run by a process of its own: what a process has as its peak begins with the memory of the one that started it.
PEAK = """import resource, subprocess, sys
done = subprocess.run(sys.argv[2:])
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(done.returncode)"""
EVENT = re.compile(r"^\[([A-Z][^]]+)\]\n(Job|Finished jobid:) (\d+)", re.M)
RULE = re.compile(r"^Finished jobid: (\d+) \(Rule: (\w+)\)", re.M)


def last_run(project: Path) -> dict[str, Any]:
    """Seconds of the last run in which jobs ended, those of its jobs by rule, and those that processors were idle.

    Raises
    ------
    ValueError
        No log of a run is there.
    """
    for log in sorted((project / ".snakemake/log").glob("*.log"), reverse=True):
        found = of_log(log.read_text("utf-8"))
        if found:
            return {"log": log.name, **found}
    raise ValueError(f"{project}: no log of a run in which a job ended; run `snakemake --cores all` there")


def of_log(text: str) -> dict[str, Any]:
    """Of one log; empty where no job ended."""
    rules, started, took = dict(RULE.findall(text)), {}, defaultdict(list)
    cores = re.search(r"^Provided cores: (\d+)", text, re.M)
    first = last = None
    for time_of, what, job in EVENT.findall(text):
        moment = datetime.strptime(time_of, "%a %b %d %H:%M:%S %Y").timestamp()
        if what == "Job":
            started[job] = moment
            first = moment if first is None else first
        elif job in started:
            took[rules[job]].append(moment - started.pop(job))
            last = moment
    if first is None or last is None:
        return {}
    busy = sum(sum(seconds) for seconds in took.values())
    count = int(cores[1]) if cores else 1
    by_rule = {rule: {"jobs": len(seconds), "seconds": sum(seconds)} for rule, seconds in sorted(took.items())}
    return {"cores": count, "seconds": last - first, "idle_seconds": count * (last - first) - busy, "rules": by_rule}


def timed(command: list[str], project: Path, rounds: int) -> dict[str, Any]:
    """Seconds of a command, by the clock and of processors, and the memory of its largest process, in bytes.

    SystemExit with what it said where it fails.
    """
    wall, processor, largest = [], [], []
    with tempfile.NamedTemporaryFile("r") as peak:
        for _ in range(rounds):
            began, used = time.perf_counter(), _processor_seconds()
            done = subprocess.run(
                [sys.executable, "-IS", "-c", PEAK, peak.name, *command],
                cwd=project,
                env=_environment(project),
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise SystemExit(f"{' '.join(command)}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
            wall.append(time.perf_counter() - began)
            processor.append(_processor_seconds() - used)
            largest.append(int(Path(peak.name).read_text()) * 1024)
    return {
        "seconds": wall,
        "median": median(wall),
        "processor_median": median(processor),
        "largest_process": max(largest),
    }


def _processor_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _environment(project: Path) -> dict[str, str]:
    scripts = Path(sys.executable).parent
    return os.environ | {"PYTHONPATH": str(project), "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}


def lines(record: dict[str, Any]) -> list[str]:
    """The figures as plain text."""
    run = record["last_run"]
    result = [f"  {rule:12}{row['jobs']:5} jobs{row['seconds']:9,.0f} s" for rule, row in run["rules"].items()]
    result.append(f"on {run['cores']} cores, idle for {run['idle_seconds']:,.0f} core-seconds")
    for what, limit in LIMITS.items():
        seconds = record[what]["seconds" if what == "last_run" else "median"]
        met = "yes" if seconds <= limit else "no"
        result.append(f"{what.replace('_', ' ')}: {seconds:.2f} s, goal {limit:g} s, met: {met}")
    return result


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, help="folder of a checkout in which the suite has run to its report")
    parser.add_argument("--report", default="reports/smoke", help="that is audited; default: reports/smoke")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of workflow.json")
    given = parser.parse_args()
    project = given.project.resolve()
    machine, run = describe("cpu"), last_run(project)
    idle = timed(["snakemake", "--cores", "all"], project, 5)
    audit = timed([sys.executable, "-m", "frod", "audit", given.report], project, 3)
    machine |= {"load_average_after": load()}
    record = {"kind": "workflow", "machine": machine, "last_run": run, "nothing_to_do": idle, "audit": audit}
    files.write_json(given.out / "workflow.json", record)
    print("\n".join(lines(record)))


if __name__ == "__main__":
    main()
