"""Gone is what a report was made of, not what is yet to be made; a report without a list has lost nothing."""

import json
from pathlib import Path

import pytest

from frod.config.settings import Params
from frod.pipeline import gone

METHOD = "results/smoke/digits/vit/frod"
FILES = [
    "results/smoke/summary.parquet",
    f"{METHOD}/spectrum.parquet",
    f"{METHOD}/sharpness.parquet",
    f"{METHOD}/tune/trial-0-seed-100.json",
    *(f"{METHOD}/seed-{seed}/{name}" for seed in (0, 1) for name in ("adapter.safetensors", "record.json")),
    "results/smoke/sums/llama/frod/seed-0/record.json",
]


@pytest.fixture
def report(tmp_path, monkeypatch):
    """Of a run of seed 0 alone; seed 1 and another task are new to the suite."""
    monkeypatch.chdir(tmp_path)
    Path("reports/smoke").mkdir(parents=True)
    inputs = {FILES[0]: "0", f"{METHOD}/seed-0/record.json": "0"}
    Path("reports/smoke/report.json").write_text(json.dumps({"inputs": inputs}))
    return Path("reports/smoke")


def test_runs_that_are_yet_to_be_made_are_not_gone(report):
    assert [*map(str, gone.missing(FILES, report))] == FILES[:6]
    for name in FILES[:6]:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    assert gone.missing(FILES, report) == []


@pytest.mark.parametrize(
    ("chosen", "new"), [('{"inputs": {"%s": "0"}}', 1), ("{", 0), ('{"inputs": 1}', 0), ("[]", 0), (None, 0)]
)
def test_trials_that_the_choice_was_made_without_are_new(report, chosen, new):
    """More trials, or a second seed of them, are yet to be made; those that the choice names are gone."""
    trial = FILES[3]
    names = [trial, trial.replace("100", "101")]
    Path(trial).parent.mkdir(parents=True)
    if chosen:
        Path(trial).with_name("rates.json").write_text(chosen.replace("%s", trial))
    assert [*map(str, gone.missing(names, report))] == names[: 2 - new]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"inputs": []}', '{"inputs": 1}', '{"files": {}}'])
def test_a_report_without_a_list_has_lost_nothing(report, text):
    (report / "report.json").write_text(text)
    assert gone.missing(FILES, report) == []


def test_what_is_gone_is_named_with_what_brings_it(report):
    def told(**params):
        return gone.told(gone.missing(FILES, report), report, Path("results/smoke"), Params(**params))

    Path("params.yaml").write_text("suite: smoke\n")
    assert told().endswith("are gone, in results/smoke. `snakemake --cores N runs` makes them again")
    assert told(suite="mine").endswith(" `snakemake --cores N runs --config suite=mine` makes them again")
    Path(METHOD).mkdir(parents=True)
    assert f"in results/smoke, {METHOD}, {METHOD}/tune, {METHOD}/seed-0. " in told()
    Path("dvc.lock").write_text("stages: {runs: {outs: [{path: results/smoke, md5: 0123.dir}]}}")
    assert ". DVC's cache has them not, a remote may: `dvc pull results/smoke data/state/runs-smoke.json`; or" in told()
    Path(".dvc/cache/files/md5/01").mkdir(parents=True)
    Path(".dvc/cache/files/md5/01/23.dir").touch()
    assert ". DVC has them: `dvc checkout results/smoke data/state/runs-smoke.json`; or `snakemake" in told()
    Path("dvc.lock").write_text("{")
    assert "dvc.lock: is not what DVC writes; `git checkout dvc.lock` brings it back, and may name them; or" in told()
