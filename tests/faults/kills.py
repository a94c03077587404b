"""Kill -9 at random moments: whatever was killed, the same command then ends in what an undisturbed run gives.

By itself it makes a project, kills each kind of victim so many times and prints the table (about half a minute a try):

    python tests/faults/kills.py --tries 10 [--folder DIR] [--out bench/results/faults.json]
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

RUN = "results/tiny/digits/digit_vit/full_ft/seed-0"
TRIAL = "results/tiny/digits/digit_vit/full_ft/tune/trial-0.json"
EAGER = {"FROD_CHECKPOINT_SECONDS": "0.01", "FROD_TRACKING": "off"}
DEADLINE = 300  # seconds that anything may take on a busy machine
VICTIMS = {
    "training": ("train", RUN),
    "trial of rates": ("trial", TRIAL),
    "Snakemake": ("train", RUN),
    "whole process group": ("train", RUN),
}


@dataclass(frozen=True)
class Undisturbed:
    """What a run gives, and when: seconds from the command to the worker's start and end, and to its own end."""

    result: dict[str, str]
    begins: float
    ends: float
    whole: float


@dataclass(frozen=True)
class Try:
    """One kill, and what the same command came to afterwards."""

    victim: str
    after: float
    """Seconds from the start of the command."""
    checkpoint: int
    """Step of the last checkpoint at the kill; 0: none."""
    equal: bool
    said: bool
    """Whether the second command told of the first one's end, where it found a lock."""
    resumed: int
    """Step that the second command went on from."""

    @property
    def lost(self) -> int:
        """Steps that had been saved and were trained again all the same."""
        return max(0, self.checkpoint - self.resumed)


def result_of(project, target: str) -> dict[str, str]:
    """What must come out the same: the bytes of adapter, predictions and metrics, or a trial but for its seconds."""
    from frod.files import sha256

    if target == TRIAL:
        trial = json.loads(project.path(TRIAL).read_text())
        return {name: json.dumps(trial[name], sort_keys=True) for name in sorted(trial) if name != "train_seconds"}
    names = ("adapter.safetensors", "predictions.parquet", "metrics.json")
    return {name: sha256(project.path(RUN) / name) for name in names}


def log_of(project, target: str) -> Path:
    """The log of the target's job."""
    rule = "trial" if target == TRIAL else "train"
    return project.path(f"logs/{rule}/tiny/digits/digit_vit/full_ft/{Path(target).stem}.log")


def remove(project, target: str) -> None:
    """Take a finished run or trial away, so that the command makes it."""
    log_of(project, target).unlink(missing_ok=True)
    if project.path(target).is_dir():
        shutil.rmtree(project.path(target))
    else:
        project.path(target).unlink(missing_ok=True)


def start(project, target: str) -> psutil.Popen:
    """Begin the command in a process group of its own."""
    wanted = target if target == TRIAL else f"{target}/metrics.json"
    return psutil.Popen(
        ["snakemake", "--cores", "2", wanted],
        cwd=project.folder,
        env=project.environment(**EAGER),
        stdout=subprocess.DEVNULL,
        stderr=(project.folder / "said.txt").open("w"),
        start_new_session=True,
    )


def worker_of(process: psutil.Popen, rule: str) -> psutil.Process | None:
    """The Python process of a rule's job, if it runs now."""
    for child in process.children(recursive=True):
        try:
            words = child.cmdline()
        except psutil.Error:
            continue
        if words[1:4] == ["-m", "frod", rule]:
            return child
    return None


def wait_for(process: psutil.Popen, rule: str) -> psutil.Process:
    """Wait until the rule's job has started."""
    for _ in ticks():
        if found := worker_of(process, rule):
            return found
        assert process.poll() is None, f"it ended before {rule} began: {told(process)}"
    raise TimeoutError(f"no {rule} within {DEADLINE} s")


def ticks() -> Iterator[None]:
    """Every fiftieth of a second, until the deadline."""
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        yield
        time.sleep(0.02)


def told(process: psutil.Popen) -> str:
    """What a command has said so far."""
    return (Path(process.cwd()) / "said.txt").read_text() if process.is_running() else "see said.txt"


def undisturbed(project, victim: str) -> Undisturbed:
    """Run the command whole, once."""
    rule, target = VICTIMS[victim]
    remove(project, target)
    began = time.monotonic()
    process = start(project, target)
    worker = wait_for(process, rule)
    begins = time.monotonic() - began
    for _ in ticks():
        if not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE:
            break
    ends = time.monotonic() - began
    assert process.wait(DEADLINE) == 0, (project.folder / "said.txt").read_text()
    return Undisturbed(result_of(project, target), begins, ends, time.monotonic() - began)


def kill(project, victim: str, share: float, calm: Undisturbed) -> Try:
    """Start the command, kill -9 the victim when `share` of its time has gone, and give the same command once more."""
    rule, target = VICTIMS[victim]
    remove(project, target)
    began = time.monotonic()
    process = start(project, target)
    if rule in victim or victim == "training":
        worker = wait_for(process, rule)
        time.sleep(share * (calm.ends - calm.begins))
        end(worker)
        process.wait(DEADLINE)
    else:
        time.sleep(share * calm.whole)
        end(process) if victim == "Snakemake" else end_group(process)
    after = time.monotonic() - began
    locked = any((project.folder / ".snakemake/locks").glob("*.lock"))
    log = log_of(project, target)
    before = log.read_text() if log.exists() else ""
    saved = [int(step) for step in re.findall(r"checkpoint after step (\d+)", before)]
    again = start(project, target)
    assert again.wait(DEADLINE) == 0, (project.folder / "said.txt").read_text()
    resumed = re.findall(r"going on from the checkpoint after step (\d+)", log.read_text())
    last = max(saved, default=0)
    finished = log.read_text() == before  # it was not trained again
    return Try(
        victim=victim,
        after=after,
        checkpoint=last,
        equal=result_of(project, target) == calm.result,
        said=not locked or "a Snakemake was killed here" in (project.folder / "said.txt").read_text(),
        resumed=last if finished else int(resumed[0]) if resumed else 0,
    )


def end(process: psutil.Process) -> None:
    """Kill -9, and wait until it is gone; it may have ended by itself."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
        process.wait(DEADLINE)


def end_group(process: psutil.Popen) -> None:
    """Kill -9 everything that the command has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(DEADLINE)


def row(tries: list[Try]) -> dict:
    """A row of the table."""
    return {
        "fault": f"kill -9: {tries[0].victim}",
        "tries": len(tries),
        "equal": sum(one.equal for one in tries),
        "said": sum(one.said for one in tries),
        "resumed": sum(one.resumed > 0 for one in tries),
        "lost_steps": max(one.lost for one in tries),
        "moments": [round(one.after, 1) for one in tries],
    }


def main() -> None:
    """Make the project, kill, and print the table."""
    from checkouts import TINY, Project, copy_repository

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=10, help="of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=Path, help="where to make the project; kept")
    parser.add_argument("--out", type=Path, help="JSON file of the table")
    given = parser.parse_args()
    top = given.folder or Path(tempfile.mkdtemp(prefix="frod-kills-"))
    project = Project(top / "project", top / "cache")
    if not project.folder.exists():
        project.folder.mkdir(parents=True)
        copy_repository(project.folder)
        suite = TINY.replace("epochs: 1", "epochs: 6")
        project.path("workflow/suites/tiny.yaml").write_text(suite)
        project.edit("params.yaml", "suite: smoke", "suite: tiny")
        project.snakemake(f"{RUN}/metrics.json", **EAGER)
    draw, rows = random.Random(given.seed), []
    for victim in VICTIMS:
        calm = undisturbed(project, victim)
        tries = []
        for _ in range(given.tries):
            tries.append(kill(project, victim, draw.random(), calm))
            print(tries[-1], flush=True)
        rows.append(row(tries))
    print(f"\n{'fault':32}{'tries':>6}{'equal':>7}{'said':>6}{'resumed':>9}{'saved steps lost':>18}")
    for one in rows:
        figures = [one[name] for name in ("tries", "equal", "said", "resumed", "lost_steps")]
        print("{:32}{:6}{:7}{:6}{:9}{:18}".format(one["fault"], *figures))
    if given.out:
        given.out.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
