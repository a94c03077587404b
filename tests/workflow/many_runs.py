"""A finished project made large: its runs again under more tasks and seeds, every file rewritten to fit its new place.

By itself it measures an audit of many runs: python tests/workflow/many_runs.py PROJECT --tasks 25 --seeds 10, where
PROJECT is a copy of a checkout in which the tiny suite of projects.py has run.
"""

import argparse
import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import forks
import numpy as np
import pandas as pd
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

from frod.cli import report, summarise
from frod.config import Run
from frod.files import sha256, write_json
from frod.provenance import artefacts, code
from frod.tasks import arrays, registry
from frod.training import order
from frod.training.seeds import stream, subset

TASK, BACKBONE, SUITE = "digits", "digit_vit", "workflow/suites/tiny.yaml"
AUTHOR = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")


def multiply(project: Path, tasks: int, seeds: int) -> list[Path]:
    """Give a project's suite so many tasks and seeds, and each of them the runs it needs; returns the runs' folders."""
    names = [f"task_{i}" for i in range(tasks)]
    commit = _suite(project, names, seeds)
    results, runs = project / "results/tiny", []
    (results / TASK).rename(results / "from")
    for name in names:
        _data(project, name)
        for folder in sorted((results / "from" / BACKBONE).iterdir()):
            there = results / name / BACKBONE / folder.name
            _tune(project, folder / "tune", there / "tune", name)
            _spectrum(folder, there, seeds)
            runs += [
                _run(project, folder / "seed-0", there / f"seed-{seed}", name, seed, commit) for seed in range(seeds)
            ]
    shutil.rmtree(results / "from")
    return runs


def finish(project: Path, runs: list[Path], *, track: bool) -> None:
    """Metrics, table of all runs and report, by the workflow's commands; a store of MLflow has the new report's hash.

    `track`: MLflow logs report and runs itself, which takes seconds.
    """
    params = json.dumps(yaml.safe_load((project / "params.yaml").read_text()))
    for run in runs:
        metrics = json.loads((run / "metrics.json").read_text())
        of_files = {"task": run.parts[-4], "predictions_sha256": sha256(run / "predictions.parquet")}
        write_json(run / "metrics.json", metrics | of_files)
    shutil.rmtree(project / "reports/tiny")
    summary, page = Path("results/tiny/summary.parquet"), Path("reports/tiny")
    # Of the project's own package, whose commit the report names.
    own = mock.patch.object(code, "PACKAGE_DIRECTORY", (project / "frod").resolve())
    with contextlib.chdir(project), own, mock.patch.dict(os.environ, FROD_TRACKING="off"):
        summarise.summarise(params, summary)
        report.report(params, Path("data/tasks"), summary, page)
    if track:  # apart: MLflow keeps what it has opened under a relative name
        done = forks.run(["python", "-m", "frod", "track", "results/tiny"], project, dict(os.environ))
        assert done.returncode == 0, done.stdout
    elif (project / "mlflow.db").is_file():
        with sqlite3.connect(project / "mlflow.db") as store:
            of_report = "(select run_uuid from tags where key = 'frod.run' and value = 'tiny/report')"
            query = f"update tags set value = ? where key = 'frod.record' and run_uuid in {of_report}"
            store.execute(query, [sha256(project / page / "report.json")])


def _suite(project: Path, names: list[str], seeds: int) -> str:
    suite = yaml.safe_load((project / SUITE).read_text())
    entry = registry.load()[TASK].model_dump(mode="json", by_alias=True, exclude_defaults=True)
    suite |= {"tasks": dict.fromkeys(names, entry), "seeds": list(range(seeds))}
    suite["experiments"][0]["tasks"] = names
    (project / SUITE).write_text(yaml.safe_dump(suite, sort_keys=False))
    subprocess.run(["git", *AUTHOR, "commit", "-qam", "more"], cwd=project, check=True)
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=project, check=True, capture_output=True, text=True
    ).stdout.strip()


def _data(project: Path, name: str) -> None:
    folder = project / "data/tasks" / name / BACKBONE
    shutil.copytree(project / "data/tasks" / TASK / BACKBONE, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    write_json(folder / "manifest.json", artefacts.with_digest(manifest | {"task": name}))


def _inputs(project: Path, inputs: dict[str, str], name: str) -> dict[str, str]:
    renamed = [path.replace(f"/{TASK}/", f"/{name}/") for path in inputs]
    return {path: sha256(project / path) for path in renamed}


def _budget(project: Path, spec: dict) -> dict:
    train = arrays.load_split(project / "data/tasks" / spec["task"] / BACKBONE, "train", verify=False)
    run = Run.model_validate(spec)
    chosen = subset(train.labels, run.training.max_train, run.split_seed)
    return asdict(order.plan(len(chosen), run.training, run.seed, train.lengths[chosen])[0])


def _tune(project: Path, source: Path, there: Path, name: str) -> None:
    rates = json.loads((source / "rates.json").read_text())
    there.mkdir(parents=True)
    for path in sorted(source.glob("trial-*.json")):
        trial = json.loads(path.read_text())
        outputs = [Path(one).name for one in trial["outputs"]]
        trial["outputs"] = {(there / one).relative_to(project).as_posix(): sha256(source / one) for one in outputs}
        for one in outputs:
            shutil.copy2(source / one, there / one)
        trial["spec"] |= {"task": name}
        budget = _budget(project, trial["spec"])
        trial |= {"inputs": _inputs(project, trial["inputs"], name), "budget": budget}
        write_json(there / path.name, trial)
        rates |= {"budget": budget}
    write_json(there / "rates.json", rates | {"inputs": _inputs(project, rates["inputs"], name)})


def _spectrum(source: Path, there: Path, seeds: int) -> None:
    for name in ("spectrum.parquet", "sharpness.parquet"):
        one = pd.read_parquet(source / name)
        table = pd.concat([one.assign(seed=seed) for seed in range(seeds)], ignore_index=True)
        table.astype({"seed": one["seed"].dtype}).to_parquet(there / name, index=False)


def _run(project: Path, source: Path, there: Path, name: str, seed: int, commit: str) -> Path:
    shutil.copytree(source, there)
    record = json.loads((there / "record.json").read_text())
    record["run"] |= {"task": name, "seed": seed}
    record["spec"] |= {"task": name, "seed": seed}
    record["seeds"] |= {one: stream(seed, one) for one in ("head", "adapter", "order", "dropout")} | {"run": seed}
    record["inputs"] = _inputs(project, record["inputs"], name)
    record["budget"] = _budget(project, record["spec"])
    record["code"]["git_commit"] = commit  # made just now, so that the run is of now, too
    took = datetime.fromisoformat(record["finished"]) - datetime.fromisoformat(record["started"])
    now = datetime.now(UTC)
    record |= {"started": now.isoformat(), "finished": (now + took).isoformat()}
    if seed:
        _differ(there, seed)
    if record["spec"]["adapter"]["kind"] == "frod":
        _reseed(there / "adapter.safetensors", stream(seed, "adapter"))
    outputs = [there / Path(path).name for path in record["outputs"]]
    record["outputs"] = {path.relative_to(project).as_posix(): sha256(path) for path in outputs}
    write_json(there / "record.json", record)
    return there


def _differ(folder: Path, seed: int) -> None:
    """Change the last digits of losses and scores: no two trainings have the same."""
    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("history", "predictions")}
    tables["history"]["loss"] *= 1 + seed / 2**30
    tables["predictions"]["scores"] = list(tables["predictions"]["scores"] * np.float32(1 + seed / 2**20))
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)


def _reseed(path: Path, seed: int) -> None:
    with safe_open(path, framework="pt") as file:
        settings = json.loads(file.metadata()["frod"]) | {"seed": seed}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata={"frod": json.dumps(settings, sort_keys=True)})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--tasks", type=int, default=25)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--track", action="store_true", help="log the runs to MLflow, a few minutes' work")
    given = parser.parse_args()
    made = multiply(given.project, given.tasks, given.seeds)
    finish(given.project, made, track=given.track)
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "frod", "audit", "reports/tiny"], cwd=given.project, check=False)
    print(f"{len(made)} runs: exit status {done.returncode}, {time.perf_counter() - began:.1f} s")
