"""Files of a finished project, how they are damaged, which command notices, and how one comes back to the same results.

By itself it makes a small project, damages each file, does what the message says, and prints the table (about a minute
a row on two idle cores):

    python tests/faults_data/damages.py [--folder DIR] [--only WORD]
"""

import argparse
import hashlib
import json
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

MODEL, TASK = "data/models/digit_vit", "data/tasks/digits/digit_vit"
BASIS, METHOD = "data/bases/digit_vit/ridge-0.001-float64", "results/tiny/digits/digit_vit/frod"
RUN = f"{METHOD}/seed-0"
SUMMARY = "results/tiny/summary.parquet"


def _altered(content):
    """One bit of the middle: what is still text stays text."""
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "one bit": _altered,
    "emptied": lambda content: b"",
    "half-written": lambda content: content[: len(content) // 2] + bytes(len(content) - len(content) // 2),
}


@dataclass(frozen=True)
class Damaged:
    """A file, and a command that reads it.

    `again` is what to ask Snakemake for, after deleting it, so that the command runs in a workflow that has finished:
    what lies beside an output is looked at by none but its readers. `alone` says whether the command itself notices one
    altered bit; of the outputs that it does not, the next workflow's start does.
    """

    file: str
    command: str
    again: str | None = None
    alone: bool = True


FILES = [
    Damaged(f"{MODEL}/source.json", "task"),
    Damaged(f"{MODEL}/model.safetensors", "train", again=f"{RUN}/record.json"),
    Damaged(f"{MODEL}/config.json", "train", again=f"{RUN}/record.json"),
    Damaged(f"{TASK}/manifest.json", "train"),
    Damaged(f"{TASK}/train.images.npy", "train", again=f"{RUN}/record.json"),
    Damaged(f"{TASK}/train.labels.npy", "train", again=f"{RUN}/record.json"),
    Damaged(f"{TASK}/test.ids.npy", "train", again=f"{RUN}/record.json"),
    Damaged(f"{BASIS}/manifest.json", "train"),
    Damaged(f"{BASIS}/basis.safetensors", "train", again=f"{RUN}/record.json"),
    Damaged(f"{METHOD}/tune/trial-0.json", "tune", alone=False),
    Damaged(f"{METHOD}/tune/rates.json", "train", alone=False),
    Damaged(f"{RUN}/adapter.safetensors", "spectrum"),
    Damaged(f"{RUN}/history.parquet", "report"),
    Damaged(f"{RUN}/predictions.parquet", "evaluate"),
    Damaged(f"{RUN}/record.json", "evaluate", alone=False),
    Damaged(f"{RUN}/metrics.json", "summarise", alone=False),
    Damaged(f"{METHOD}/spectrum.parquet", "report"),
    Damaged(SUMMARY, "report", alone=False),  # of one row: most of the file is its description, without checksums
]


def commands(project):
    """Arguments of each command, as the workflow calls it in a project, by the command's name."""
    import yaml

    from frod.tasks import registry

    params = yaml.safe_load(project.path("params.yaml").read_text())
    spec = json.dumps({"name": "digits", "task": registry.load()["digits"].model_dump(mode="json", by_alias=True)})
    trials = [option for i in (0, 1) for option in ("--trial", f"{METHOD}/tune/trial-{i}.json")]
    given = ["--params", json.dumps(params)]
    made = ["--tasks", "data/tasks", "--summary", SUMMARY, "--out", "elsewhere/report"]
    return {
        "task": ["--spec", spec, "--backbone", MODEL, "--out", "elsewhere/task"],
        "tune": [*trials, "--out", "elsewhere/rates.json"],
        "train": [*project.training(RUN), "--out", "elsewhere/run"],
        "evaluate": ["--run", RUN, "--task", TASK],
        "spectrum": ["--run", RUN, "--out", "elsewhere/spectrum.parquet"],
        "summarise": [*given, "--out", "elsewhere/summary.parquet"],
        "report": [*given, *made],
        "show": [SUMMARY],
    }


def remedied(folder, line):
    """Do what an error's line says: delete the file or folder it names; returns which."""
    of_folder = re.search(r"delete the folder (\S+?)[ ,;]", line)
    if of_folder:
        named = of_folder[1]
    else:
        assert "delete it" in line, line
        named = re.search(r"error: (\S+?):? ", line)[1]
    path = folder / named
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return named


def result(folder):
    """What a project came to: the trained numbers, predictions and metrics of each run, by name."""
    found = sorted(folder.glob("results/*/*/*/*/seed-*/*"))
    kept = [path for path in found if path.name in ("adapter.safetensors", "predictions.parquet", "metrics.json")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def _row(project, damaged, name):
    """Damage a file, call the workflow, do what it says and call it again; returns the row of the table."""
    before = result(project.folder)
    path = project.path(damaged.file)
    path.write_bytes(DAMAGES[name](path.read_bytes()))
    target = [damaged.again] if damaged.again else []
    for name_of_target in target:
        project.path(name_of_target).unlink()
    done = project.run("snakemake", "--cores", "2", *target, check=False)
    how = "made anew by the same command"
    if done.returncode:
        (line,) = {line.strip() for line in done.stdout.splitlines() if line.strip().startswith("error: ")}
        assert "Traceback" not in done.stdout
        how = f"delete {remedied(project.folder, line)}"
        done = project.run("snakemake", "--cores", "2", *target, check=False)
    if target and not done.returncode:
        done = project.run("snakemake", "--cores", "2", check=False)
    said = damaged.file in done.stdout or how.startswith("delete") or "count as out of date" in done.stdout
    equal = done.returncode == 0 and result(project.folder) == before
    return [f"{damaged.file}, {name}", "1", "yes" if equal else "NO", how + ("" if said else ", NOT SAID")]


def main():
    """Print the table."""
    from projects import TINY, Project, checkout

    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path)
    arguments.add_argument("--only", default="")
    given = arguments.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="frod-damages-"))
    project = Project(folder / "project", folder / "cache")
    if not project.folder.exists():
        suite = re.sub(r"(?m)^ +(full_ft|linear_probe): .*\n", "", TINY)
        checkout(project.folder, project.cache, suite).start()
        project.snakemake()
    print("| fault | tries | results equal | then |\n|---|---|---|---|", flush=True)
    for place, damaged in enumerate(FILES):
        if given.only in damaged.file:
            name = list(DAMAGES)[place % len(DAMAGES)] if damaged.alone else "one bit"
            print(f"| {' | '.join(_row(project, damaged, name))} |", flush=True)


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1] / "workflow"))
    main()
