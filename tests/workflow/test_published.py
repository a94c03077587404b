"""The published smoke report is whole, a part of its runs comes out the same once more, and publishing is a copy.

The part that is run again, in a fresh copy of the repository with an empty cache: FRoD and full fine-tuning on the
digits, seed 0, with all that they need: the shipped weights, the prepared task, the shared basis, three trials of
learning rates for each.
"""

import json
from pathlib import Path

import pandas as pd
import pytest
from alterations import audit

from frod import numerics
from frod.files import sha256

PUBLISHED = Path(__file__).parents[2] / "reports" / "published"
PART = [f"digits/digit_vit/{method}/seed-0" for method in ("frod", "full_ft")]
FILES = {"adapter": "adapter.safetensors", "predictions": "predictions.parquet"}
PORTABLE = {numerics.VARIABLE: "portable", **numerics.PORTABLE}
MACHINE = (
    "import json, torch; torch.set_num_threads(1); from frod.provenance import records;"
    "print(json.dumps(records.machine(records.environment())))"
)


@pytest.mark.parametrize("suite", sorted(path.parent.name for path in PUBLISHED.glob("*/report.json")))
def test_a_published_report_is_as_it_was_written(suite):
    folder = PUBLISHED / suite
    named = json.loads((folder / "report.json").read_text())["files"]
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == {*named, "report.json"}
    assert {name: sha256(folder / name) for name in named} == named


def test_a_part_of_the_published_runs_comes_out_the_same(fresh):
    recorded = json.loads((PUBLISHED / "smoke" / "runs.json").read_text())["runs"]
    here = json.loads(fresh.run("python", "-c", MACHINE, **PORTABLE).stdout)
    for run in PART:
        if reason := numerics.comparable(recorded[run], here):
            pytest.skip(f"the published bits of {run} cannot be expected of this machine: {reason}")
    said = fresh.snakemake(*(f"results/smoke/{run}/record.json" for run in PART), FROD_TRACKING="off", **PORTABLE)
    assert "steps (100%) done" in said
    found = {run: {name: sha256(fresh.path(f"results/smoke/{run}/{FILES[name]}")) for name in FILES} for run in PART}
    assert found == {run: {name: recorded[run][name] for name in FILES} for run in PART}


@pytest.fixture(scope="module")
def published(finished):
    """The finished project with its report published, over one with a file that is no longer made."""
    assert finished.git("status", "--short") == "", "a run changes nothing that git has"
    stale = finished.path("reports/published/tiny/figures/stale.svg")
    stale.parent.mkdir(parents=True)
    stale.touch()
    finished.run("make", "publish", "SUITE=tiny")
    finished.commit("published")
    return finished


def test_a_published_report_is_the_whole_report_and_no_more(published):
    own, copy = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("[!.]*") if path.is_file()}
        for folder in (published.path("reports/tiny"), published.path("reports/published/tiny"))
    )
    assert own == copy and Path("runs.json") in own
    tracked = published.git("ls-files", "reports").splitlines()
    assert all(name.startswith("reports/published/tiny/") for name in tracked) and tracked


def test_the_copy_passes_the_same_audit(published):
    of_run, of_copy = (audit(published.folder, report) for report in ("reports/tiny", "reports/published/tiny"))
    assert of_copy.found == [] and of_copy.checked == of_run.checked


def test_the_copy_and_the_run_do_not_differ(published):
    status, said = published.frod("compare", "reports/published/tiny", "reports/tiny", "--exit-code")
    assert status == 0 and "Nothing differs." in said and "the same sha256 in all 3 runs" in said


def test_a_run_beside_it_leaves_the_published_report_alone(published):
    published.path("reports/tiny/index.html").unlink()
    before = sha256(published.path("reports/published/tiny/index.html"))
    published.snakemake()
    assert sha256(published.path("reports/published/tiny/index.html")) == before
    assert published.git("status", "--short") == ""
    assert pd.read_csv(published.path("reports/tiny/results.csv")).shape[0] == 3


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        ("other", "reports/other/report.json: is not there; run make reproduce SUITE=other first"),
        ("", "SUITE: is ''; name a suite"),
        ("..", "SUITE: is '..'; name a suite"),
        ("published", "reports/published/report.json: is not there"),
        ("published/tiny", "SUITE: is 'published/tiny'; name a suite"),
    ],
)
def test_what_is_no_report_is_not_published(published, suite, message):
    done = published.run("make", "publish", f"SUITE={suite}", check=False)
    assert done.returncode != 0 and message in done.stdout
    assert published.git("status", "--short") == ""
