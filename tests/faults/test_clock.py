"""A clock that is set back: finished work is not repeated, and what is stale is not kept.

Real Snakemake and small jobs. Setting the machine's clock would disturb others; the files and records are given the
times that they would have had.
"""

import json
import os
import time

import pytest
from small_project import SmallProject

from frod.pipeline.file_state import FileState

YEAR = 365 * 24 * 3600.0
TRAIN = [f"results/smoke/digits/vit/frod/seed-{seed}/adapter.bin" for seed in (0, 1)]
ALL = ["data/bases/vit", "data/models/vit", "data/tasks/digits/vit", *TRAIN]


@pytest.fixture
def ahead(tmp_path):
    """A project that was made, and its workflow ended, while the clock was a year ahead."""
    project = SmallProject.create(tmp_path / "project")
    project.run("snakemake")
    file_state = FileState.read(project.folder)
    outputs = {path: file_state.signature(path) for path in file_state.ends}
    for folder in ("data", "results", "reports", ".snakemake/metadata"):
        for path in (project.folder / folder).rglob("*"):
            if path.parent.name == "metadata":
                record = json.loads(path.read_text())
                record |= {name: record[name] + YEAR for name in ("starttime", "endtime")}
                path.write_text(json.dumps(record))
            moment = path.stat().st_mtime_ns + int(YEAR) * 10**9
            os.utime(path, ns=(moment, moment))
    for path, signature in outputs.items():
        file_state.settle(path, file_state.entries.get(path), end=file_state.ends[path] + YEAR, before=signature)
    file_state.write()
    return project


def test_the_clock_is_set_back_a_year(ahead):
    assert (ahead.folder / TRAIN[0]).stat().st_mtime > time.time() + YEAR / 2
    ahead.set_params(lr=2)
    assert ahead.made("snakemake") == sorted([*TRAIN, "reports/smoke/index.html"])
    assert ahead.made("snakemake") == []
    # Interrupted after the first job: what depends on it has later times, and is stale all the same.
    ahead.edit("params.yaml", "width: 1", "width: 2")
    assert ahead.made("snakemake", "data/models/vit") == ["data/models/vit"]
    assert ahead.made("snakemake") == sorted([*ALL[:1], *ALL[2:], "reports/smoke/index.html"])
    assert ahead.made("snakemake") == []
