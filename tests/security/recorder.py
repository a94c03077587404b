"""Stands in for `python -m frod COMMAND` in the workflow's shell: keeps the arguments as they come, makes outputs."""

import itertools
import json
import os
import sys
from pathlib import Path

arguments = sys.argv[1:]
command = arguments[2]
PAGES = ["index.html", "results.csv", "results.tex", "summary.md", "curves.csv"]
PAGES += [f"{name}.json" for name in ("claims", "metrics", "report")]
FILES = {
    "backbone": ["source.json"],
    "task": ["manifest.json"],
    "basis": ["manifest.json"],
    "basis_part": ["part"],
    "train": ["adapter.safetensors", "history.parquet", "predictions.parquet", "record.json"],
    "report": [*PAGES, "figures/loss-own-own.svg", "runs/own/own/frod.html"],
}


def options(name):
    return [value for key, value in itertools.pairwise(arguments) if key == f"--{name}"]


if command == "evaluate":
    outputs = [Path(run) / "metrics.json" for run in options("run")]
else:
    (out,) = map(Path, options("out"))
    outputs = [out / name for name in FILES[command]] if command in FILES else [out]
    outputs += map(Path, options("sharpness"))
    if command == "trial":
        outputs += [out.with_suffix(f".{table}.parquet") for table in ("history", "predictions")]
for output in outputs:
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("{}")
(Path(os.environ["RECORDED"]) / f"{command}-{os.getpid()}.json").write_text(json.dumps(arguments))
