"""dvc.yaml and `frod.pipeline.bookkeeping` speak of the same stages, folders, backups: one forgotten is unguarded."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from frod.pipeline import bookkeeping

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def dvc_stages():
    text = (ROOT / "dvc.yaml").read_text()
    values = {
        "suite": "smoke",
        "paths.data": "data",
        "paths.results": "results",
        "paths.reports": "reports",
        "paths.own": "mine",
    }
    return yaml.safe_load(re.sub(r"\$\{([a-z.]+)\}", lambda match: values[match.group(1)], text))["stages"]


def _outputs(stage):
    return {next(iter(out)): next(iter(out.values())) for out in stage["outs"]}


def test_stages_folders_and_stashes_agree(dvc_stages):
    ours = {stage.name: {*stage.folders, stage.backup} for stage in bookkeeping.stages(["smoke"])}
    assert {name: set(_outputs(stage)) for name, stage in dvc_stages.items()} == ours


def test_every_output_persists_and_every_stage_sees_all_parameters_and_code(dvc_stages):
    for name, stage in dvc_stages.items():
        assert all(options["persist"] for options in _outputs(stage).values()), name
        assert stage["params"] == [{"params.yaml": None}], name
        assert {"Snakefile", "frod", "workflow"} <= set(stage["deps"]), name
        assert stage["cmd"] == f"snakemake {name}"


def test_every_output_is_dvc_s_to_keep_and_not_git_s(dvc_stages):
    """An output that git tracks would change in git with every run."""
    outputs = [path for stage in dvc_stages.values() for path in _outputs(stage)]
    assert all(options.get("cache", True) for stage in dvc_stages.values() for options in _outputs(stage).values())
    for path in outputs:
        asked = subprocess.run(["git", "check-ignore", "--quiet", f"{path}/x"], cwd=ROOT, check=False)
        assert asked.returncode == 0, path
    kept = subprocess.run(["git", "check-ignore", "--quiet", "reports/published/smoke/x"], cwd=ROOT, check=False)
    assert kept.returncode == 1


def test_stashes_are_kept_by_dvc_and_not_by_git(dvc_stages):
    for name, stage in dvc_stages.items():
        backup = next(path for path in _outputs(stage) if path.endswith(".json"))
        assert _outputs(stage)[backup].get("cache", True), name
        assert Path(backup).parent.as_posix() == "data/state"
    assert "/*.json" in (ROOT / "data" / "state" / ".gitignore").read_text()
