"""Files of a finished project, how they are damaged, which command notices, and the way back to the same results."""

import hashlib
import json
import re
import shutil
from dataclasses import dataclass

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

    `alone`: whether the command itself notices one altered bit; where it does not, the next workflow's start does.
    """

    file: str
    command: str
    alone: bool = True


FILES = [
    Damaged(f"{MODEL}/source.json", "task"),
    Damaged(f"{MODEL}/model.safetensors", "train"),
    Damaged(f"{MODEL}/config.json", "train"),
    Damaged(f"{TASK}/manifest.json", "train"),
    Damaged(f"{TASK}/train.images.npy", "train"),
    Damaged(f"{TASK}/train.labels.npy", "train"),
    Damaged(f"{TASK}/test.ids.npy", "train"),
    Damaged(f"{BASIS}/manifest.json", "train"),
    Damaged(f"{BASIS}/basis.safetensors", "train"),
    Damaged(f"{METHOD}/tune/trial-0-seed-100.json", "tune", alone=False),
    Damaged(f"{METHOD}/tune/trial-1-seed-100.history.parquet", "tune"),
    Damaged(f"{METHOD}/tune/trial-1-seed-100.predictions.parquet", "tune"),
    Damaged(f"{METHOD}/tune/rates.json", "train", alone=False),
    Damaged(f"{RUN}/adapter.safetensors", "spectrum"),
    Damaged(f"{RUN}/history.parquet", "report"),
    Damaged(f"{RUN}/predictions.parquet", "evaluate"),
    Damaged(f"{RUN}/record.json", "evaluate", alone=False),
    Damaged(f"{RUN}/metrics.json", "summarise", alone=False),
    Damaged(f"{METHOD}/spectrum.parquet", "report"),
    # Of few rows: most of the file is its description, without checksums.
    Damaged(f"{METHOD}/sharpness.parquet", "report", alone=False),
    Damaged(SUMMARY, "report", alone=False),
]


def commands(project):
    """Arguments of each command, as the workflow calls it in a project, by the command's name."""
    import yaml

    from frod.tasks import registry

    params = yaml.safe_load(project.path("params.yaml").read_text())
    spec = json.dumps({"name": "digits", "task": registry.load()["digits"].model_dump(mode="json", by_alias=True)})
    trials = [option for i in (0, 1) for option in ("--trial", f"{METHOD}/tune/trial-{i}-seed-100.json")]
    given = ["--params", json.dumps(params)]
    made = ["--tasks", "data/tasks", "--summary", SUMMARY, "--out", "elsewhere/report"]
    return {
        "task": ["--spec", spec, "--backbone", MODEL, "--out", "elsewhere/task"],
        "tune": [*trials, "--out", "elsewhere/rates.json"],
        "train": [*project.training(RUN), "--out", "elsewhere/run"],
        "evaluate": ["--run", RUN, "--task", TASK],
        "spectrum": ["--run", RUN, "--out", "elsewhere/spectrum.parquet", "--sharpness", "elsewhere/sharpness.parquet"],
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
