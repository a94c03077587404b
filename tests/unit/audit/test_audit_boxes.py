"""The points of a box are drawn again: other rates, another box or another choice than they give are findings.

So is a trial that ended when runs on the chosen rates had begun.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_suite import BOX, changed, load

from frod.audit import trials
from frod.audit.findings import Findings
from frod.audit.traces import Traces
from frod.files import sha256, write_json
from frod.provenance.run_keys import RunKey
from frod.training.tune import choose

TUNE = Path("digits/digit_vit/frod/tune")


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Three points of a box on two seeds, tried and chosen among; the second is the best."""
    monkeypatch.chdir(tmp_path)
    suite = changed("experiments.0.box", BOX) | {"tune": {"trials": 3, "seeds": [100, 101]}}
    workflow = load(tmp_path, suite=suite)
    planned = workflow.trials_of("digits", "digit_vit", "frod")
    for name, trial in planned.items():
        made = {"rates": trial.run.rates.model_dump(exclude_none=True), "seed": trial.run.seed, "metric": "accuracy"}
        figure = 0.5 + 0.1 * (trial.index == 1)
        made |= {"validation": figure, "validation_loss": 1.0, "undefined": None, "budget": {}, "train_seconds": 1.0}
        write_json(TUNE / f"{name}.json", made)
    paths = [TUNE / f"{name}.json" for name in planned]
    chosen = choose([json.loads(path.read_text()) for path in paths], BOX["frod"])
    write_json(TUNE / "rates.json", chosen | {"inputs": {str(path): sha256(path) for path in paths}})
    return SimpleNamespace(
        workflow=workflow, digests=SimpleNamespace(sha256=sha256), tune=lambda *of: Path(*of, "tune")
    )


def found(study):
    findings = Findings()
    planned = study.workflow.trials_of("digits", "digit_vit", "frod").values()
    tried = [Traces.of_trial(study, trial) for trial in planned]
    for left in tried:
        findings.equal(left.path, "rates", left.rates, left.record["rates"], remedy="")
    trials._check_choice(study, TUNE / "rates.json", tried, findings)
    return [f"{one.file}: {one.what}" for one in findings.found]


def alter(name, **changes):
    path = TUNE / name
    write_json(path, json.loads(path.read_text()) | changes)


def test_what_was_drawn_and_chosen_is_what_is_drawn_again(study):
    assert found(study) == []
    assert json.loads((TUNE / "rates.json").read_text())["index"] == 1


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("rates.json", {"box": None}, "rates.json: does not follow from the trials.box"),
        ("rates.json", {"box": BOX["frod"] | {"lr_head": [1e-3, 1.0]}}, "does not follow from the trials.box.lr_head"),
        ("rates.json", {"index": 0}, "does not follow from the trials.index"),
        ("rates.json", {"seeds": [100]}, "does not follow from the trials.seeds"),
        ("trial-2-seed-101.json", {"rates": {"lr_scale": 0.01, "lr_rotation": 0.01, "lr_head": 0.002}}, "rates.lr_"),
        ("trial-0-seed-101.json", {"seed": 100}, "no rates can be chosen from the trials"),
    ],
)
def test_what_else_is_a_finding(study, file, changes, message):
    alter(file, **changes)
    assert any(message in one for one in found(study)), found(study)


@pytest.mark.parametrize(
    ("started", "found", "noted"),
    [
        ("2026-01-01T12:00:05+00:00", "", ""),
        ("2026-01-01T11:59:58+00:00", "", "started, by {trial}, which ended later: 2 seconds, by their clocks"),
        ("2026-01-01T10:59:59+00:00", "started, by {trial}, which ended later: expected at least 2026-01-01 12:00", ""),
    ],
)
def test_what_was_tried_after_the_first_run_has_seen_test(study, started, found, noted):
    """Of clocks on several machines a little is told and held against no one."""
    planned = study.workflow.trials_of("digits", "digit_vit", "frod").values()
    for trial in planned:
        alter(f"{trial.name}.json", finished=f"2026-01-01T{12 if trial.index == 2 else 11}:00:00+00:00")
    first, other = (RunKey("digits", "digit_vit", method, 0) for method in ("frod", "full_ft"))
    late = first._replace(seed=1)
    study.folder = lambda key: Path(key.path)
    study.records = {late: {"started": "2026-01-01T13:00:00+00:00"}, first: {"started": started}}
    study.records[other] = {"started": "2025-01-01T00:00:00+00:00"}
    findings = Findings()
    trials._check_times(study, [Traces.of_trial(study, trial) for trial in planned], findings)
    lines = [*(one.line() for one in findings.found), *findings.notes]
    expected = [
        f"{first.path}/record.json: {text.format(trial=TUNE / 'trial-2-seed-100.json')}"
        for text in (found, noted)
        if text
    ]
    assert len(findings.found) == bool(found) and len(lines) == len(expected)
    assert all(map(str.startswith, lines, expected)), lines
