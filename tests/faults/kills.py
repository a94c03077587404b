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
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

RUN = "results/tiny/digits/digit_vit/full_ft/seed-0"
TRIAL = "results/tiny/digits/digit_vit/full_ft/tune/trial-0-seed-100.json"
FACTS = ("run", "spec", "budget", "evaluations", "parameters", "seeds", "undefined")  # of a run
OF_THE_DAY = {"train_seconds", "resumed_from_step", "started", "finished", "outputs"}  # of a trial
EAGER = {"FROD_CHECKPOINT_SECONDS": "0.01", "FROD_TRACKING": "off"}
DEADLINE = 300  # seconds that anything may take on a busy machine
VICTIMS = {
    "a training": ("job", RUN),
    "a trial of rates": ("job", TRIAL),
    "Snakemake": ("Snakemake", RUN),
    "the whole process group": ("group", RUN),
}


@dataclass(frozen=True)
class Undisturbed:
    """What a run gives, and when: seconds from the command to the job's start and end, and to its own end."""

    result: dict[str, str]
    begins: float
    ends: float
    whole: float


@dataclass(frozen=True)
class Try:
    """One kill, and what the same command came to afterwards."""

    after: float
    """Seconds from the start of the command."""
    checkpoint: int
    """Step of the last checkpoint at the kill; 0: none."""
    differs: tuple[str, ...]
    """What is not as in an undisturbed run."""
    said: bool
    """Whether the second command told of the first one's end, where it found a lock."""
    resumed: int
    """Step that the second command went on from."""

    @property
    def equal(self) -> bool:
        """Whether it came to the same."""
        return not self.differs

    @property
    def lost(self) -> int:
        """Steps that had been saved and were trained again all the same."""
        return max(0, self.checkpoint - self.resumed)


def result_of(project, target: str) -> dict[str, str]:
    """What must come out the same: a run's files and facts, a trial, all but for the seconds they took."""
    import pandas as pd

    from frod.files import sha256
    from frod.provenance.records import output_path

    path = project.path(TRIAL if target == TRIAL else f"{RUN}/record.json")
    record = json.loads(path.read_text())
    history = pd.read_parquet(output_path(path, "history.parquet"))
    timeless = ["step", "epoch", "loss", "grad_norm", "examples", "validation_accuracy", "lr_body", "lr_head"]
    facts, files = FACTS, ("adapter.safetensors", "predictions.parquet")
    if target == TRIAL:
        facts, files = tuple(sorted(record.keys() - OF_THE_DAY)), files[1:]
    result = {name: sha256(output_path(path, name)) for name in files}
    result |= {name: json.dumps(record[name], sort_keys=True) for name in facts}
    return result | {"history.parquet": history[timeless].to_csv()}


def rule_of(target: str) -> str:
    """The rule that makes a target."""
    return "trial" if target == TRIAL else "train"


def log_of(project, target: str) -> Path:
    """The log of the target's job."""
    return project.path(f"logs/{rule_of(target)}/tiny/digits/digit_vit/full_ft/{Path(target).stem}.log")


def remove(project, target: str) -> None:
    """Take a finished run or trial away, so that the command makes it."""
    log_of(project, target).unlink(missing_ok=True)
    if project.path(target).is_dir():
        shutil.rmtree(project.path(target))
    else:
        for path in (project.path(target), project.path(target).with_suffix(".checkpoint.pt")):
            path.unlink(missing_ok=True)


def environment(project) -> dict[str, str]:
    """Many checkpoints, no MLflow, and the project's own package: the Snakefile would else take the checkout's."""
    return project.environment(**EAGER, PYTHONPATH=str(project.folder))


def command(target: str) -> list[str]:
    """What makes a target."""
    return ["snakemake", "--cores", "2", target if target == TRIAL else f"{target}/record.json"]


def start(project, target: str, around: dict[str, str] | None = None) -> psutil.Popen:
    """Begin the command in a process group of its own."""
    return psutil.Popen(
        command(target),
        cwd=project.folder,
        env=around or environment(project),
        stdout=subprocess.DEVNULL,
        stderr=(project.folder / "said.txt").open("w"),
        start_new_session=True,
    )


def job_of(process: psutil.Popen, rule: str) -> psutil.Process | None:
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
        if found := job_of(process, rule):
            return found
        assert process.poll() is None, f"it ended before {rule} began; said.txt has the reason"
    raise TimeoutError(f"no {rule} within {DEADLINE} s")


def ticks() -> Iterator[None]:
    """Every fiftieth of a second, until the deadline."""
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        yield
        time.sleep(0.02)


def undisturbed(project, target: str) -> Undisturbed:
    """Run the command whole, once."""
    remove(project, target)
    began = time.monotonic()
    process = start(project, target)
    job = wait_for(process, rule_of(target))
    begins = time.monotonic() - began
    for _ in ticks():
        if not job.is_running() or job.status() == psutil.STATUS_ZOMBIE:
            break
    ends = time.monotonic() - began
    assert process.wait(DEADLINE) == 0, (project.folder / "said.txt").read_text()
    return Undisturbed(result_of(project, target), begins, ends, time.monotonic() - began)


Moment = Callable[[psutil.Popen], psutil.Process | None]
"""Waits for the moment to kill, and returns the job's process, if the job is to be killed."""


def at(share: float, calm: Undisturbed, victim: str, target: str) -> Moment:
    """A moment: when so much of the victim's time has gone as it takes undisturbed."""

    def wait(process: psutil.Popen) -> psutil.Process | None:
        job = wait_for(process, rule_of(target)) if victim == "job" else None
        time.sleep(share * (calm.ends - calm.begins if job else calm.whole))
        return job

    return wait


def kill(
    project, victim: str, target: str, wait: Moment, result: dict[str, str], around: dict[str, str] | None = None
) -> Try:
    """Start the command, kill -9 the victim when `wait` returns, and give the same command once more."""
    remove(project, target)
    began = time.monotonic()
    process = start(project, target, around)
    job = wait(process)
    if victim == "job":
        end(job)
        process.wait(DEADLINE)
    elif victim == "group":
        end_group(process)
    else:
        end(process)
    after = time.monotonic() - began
    locked = any((project.folder / ".snakemake/locks").glob("*.lock"))
    log = log_of(project, target)
    before = log.read_text() if log.exists() else ""
    saved = [int(step) for step in re.findall(r"checkpoint after step (\d+)", before)]
    said = project.run(*command(target), **EAGER, PYTHONPATH=str(project.folder)).stdout
    resumed = re.findall(r"going on from the checkpoint after step (\d+)", log.read_text())
    last = max(saved, default=0)
    finished = log.read_text() == before  # it was not trained again
    found = result_of(project, target)
    return Try(
        after=after,
        checkpoint=last,
        differs=tuple(name for name in result if found.get(name) != result[name]),
        said=not locked or "a Snakemake was killed here" in said,
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


def row(name: str, tries: list[Try]) -> dict:
    """A row of the table."""
    return {
        "fault": f"kill -9 of {name}",
        "tries": len(tries),
        "equal": sum(one.equal for one in tries),
        "said": sum(one.said for one in tries),
        "resumed": sum(one.resumed > 0 for one in tries),
        "lost_steps": max(one.lost for one in tries),
        "moments": [round(one.after, 1) for one in tries],
    }


def main() -> None:
    """Make the project, kill, and print the table."""
    sys.path.append(str(Path(__file__).parents[1] / "workflow"))
    from projects import TINY, Project, checkout

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=10, help="of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=Path, help="where to make the project; kept")
    parser.add_argument("--out", type=Path, help="JSON file of the table")
    given = parser.parse_args()
    top = given.folder or Path(tempfile.mkdtemp(prefix="frod-kills-"))
    project = Project(top / "project", top / "cache")
    if not project.folder.exists():
        checkout(project.folder, project.cache, TINY.replace("epochs: 1", "epochs: 3"))
        project.snakemake(f"{RUN}/record.json", **EAGER, PYTHONPATH=str(project.folder))
    draw, rows = random.Random(given.seed), []
    calm = {target: undisturbed(project, target) for target in (RUN, TRIAL)}
    tries: dict[str, list[Try]] = {name: [] for name in VICTIMS}
    for _ in range(given.tries):
        for name, (victim, target) in VICTIMS.items():
            moment = at(draw.random(), calm[target], victim, target)
            tries[name].append(kill(project, victim, target, moment, calm[target].result))
            print(name, tries[name][-1], flush=True)
        rows = [row(name, of_one) for name, of_one in tries.items()]
        if given.out:
            given.out.write_text(json.dumps(rows, indent=2) + "\n")
    print(f"\n{'fault':32}{'tries':>6}{'equal':>7}{'said':>6}{'resumed':>9}{'saved steps lost':>18}")
    for one in rows:
        figures = [one[name] for name in ("tries", "equal", "said", "resumed", "lost_steps")]
        print("{:32}{:6}{:7}{:6}{:9}{:18}".format(one["fault"], *figures))


if __name__ == "__main__":
    main()
