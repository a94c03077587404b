"""Runs that are deleted next to a kept report are named, and trained again only where `runs` is asked for."""

import shutil

import pytest
from test_end_to_end import RUN, rules

RESULTS = "results/tiny"
TUNE = f"{RESULTS}/digits/digit_vit/frod/tune"
BRING = "results/tiny data/state/runs-tiny.json"


@pytest.fixture
def aside(finished, tmp_path):
    """Move parts of a project away until the test ends."""
    moved = []

    def move(name):
        there = tmp_path / str(len(moved))
        shutil.move(finished.path(name), there)
        moved.append((there, finished.path(name)))

    yield move
    for there, path in reversed(moved):
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(there, path)


@pytest.mark.parametrize(
    ("name", "where", "trained"),
    [
        (RESULTS, f"in {RESULTS}. ", 3),
        (RUN.format("frod"), f"in {RUN.format('frod')}. ", 1),
        (f"{RUN.format('full_ft')}/adapter.safetensors", "1 files of the runs that reports/tiny ", 1),
        (f"{TUNE}/trial-0-seed-100.json", f"in {TUNE}. ", 1),
    ],
)  # fmt: skip
def test_what_is_gone_is_said_and_nothing_is_trained(finished, aside, name, where, trained):
    page = finished.path("reports/tiny/index.html").stat().st_mtime
    aside(name)
    for command in (["snakemake", "--cores", "2"], ["snakemake", "--cores", "2", "report"], ["snakemake", "-n"]):
        done = finished.run(*command, check=False)
        assert done.returncode == 1 and "Nothing to be done" in done.stdout, done.stdout
        assert where in done.stdout and "`snakemake --cores N runs` makes them again" in done.stdout
        assert "Traceback" not in done.stdout
    assert not finished.path(name).exists() and finished.path("reports/tiny/index.html").stat().st_mtime == page
    assert "Nothing to be done" in finished.snakemake("data")  # which does not ask for runs
    assert rules(finished.snakemake("runs", "-n", "--quiet", "rules")).get("train") == trained


def test_runs_of_which_dvc_knows_are_brought_by_what_is_said(finished, tmp_path):
    finished.snakemake("data", "bases", "runs", "report")
    finished.run("python", "-m", "frod.pipeline.commit")
    finished.run("dvc", "remote", "add", "--default", "store", tmp_path / "store")
    finished.run("dvc", "push", "--quiet")
    for verb, lost in (("checkout", ()), ("pull", [".dvc/cache"])):
        for name in (RESULTS, *lost):
            shutil.rmtree(finished.path(name))
        done = finished.run("snakemake", "--cores", "2", check=False)
        assert done.returncode == 1 and f"`dvc {verb} {BRING}`" in done.stdout, done.stdout
        finished.run("dvc", verb, *BRING.split())
        said = finished.snakemake()
        assert "Nothing to be done" in said and "gone" not in said
