"""Seconds and memory of a record fit its history: in one process, after a checkpoint, and where it diverged.

Four steps of 1, 2, 3 and 4 seconds, by hand; the process took a second more than it trained.
"""

import json
from types import SimpleNamespace

import pyarrow as pa
import pytest

from frod.audit import costs
from frod.audit.findings import Findings
from frod.audit.traces import Traces

STEPS = {"step_seconds": [1.0, 2.0, 3.0, 4.0], "seconds": [1.0, 3.0, 6.0, 10.0], "rss_bytes": [900, None, None, 500]}
TOOK = {"train_seconds": 10.0, "wall_seconds": 11.0, "step_seconds_median": 2.5, "peak_rss_bytes": 900}
TOOK |= {"peak_gpu_bytes": None}


def found(folder, *, steps=None, facts=None, **resources):
    """Lines on a run with these steps, facts of its record and resources; its weights are of 400 bytes."""
    (folder / "model.safetensors").write_bytes(bytes(400))
    (folder / "source.json").write_text(json.dumps({"files": {"model.safetensors": "", "config.json": ""}}))
    record = {"started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:00:12+00:00", "undefined": None}
    record |= {"resumed_from_step": 0, "processes": {"count": 1}, "resources": TOOK | resources} | (facts or {})
    left = Traces(run=SimpleNamespace(backbone="b"), path=folder / "record.json", record=record)
    findings = Findings()
    costs.check(SimpleNamespace(model=lambda backbone: folder), left, pa.table(STEPS | (steps or {})), findings)
    return [line.line().removeprefix(f"{folder}/").partition(": expected")[0] for line in findings.found]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"peak_rss_bytes": 885},  # the system counts pages in lots
        {"facts": {"resumed_from_step": 2}, "wall_seconds": 7.5, "peak_rss_bytes": 500},  # steps 3 and 4 alone
        {"facts": {"undefined": "diverged: step 4 of 9"}, "train_seconds": 10.5},  # it had begun another
        {"steps": {"gpu_bytes": [70, None, None, 80]}, "peak_gpu_bytes": 80, "peak_rss_bytes": 900},
        {"facts": {"processes": {"count": 4}}, "steps": {"rss_bytes": [None, None, None, 100]}, "peak_rss_bytes": 100},
    ],
)
def test_what_fits_is_no_finding(tmp_path, given):
    assert found(tmp_path, **given) == []


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"steps": {"seconds": [1.0, 3.0, 6.0, 9.0]}}, "history.parquet: seconds, by the sum of step_seconds.[3]"),
        ({"steps": {"step_seconds": [-1.0, 2.0, 3.0, 4.0]}}, "history.parquet: step_seconds"),
        ({"train_seconds": 9.0}, "record.json: train_seconds, by its history"),
        ({"train_seconds": 10.5}, "record.json: train_seconds, by its history"),
        (
            {"facts": {"undefined": "diverged: step 4 of 9"}, "train_seconds": 9.0},
            "record.json: train_seconds, by its history",
        ),
        ({"step_seconds_median": 2.0}, "record.json: step_seconds_median, by its history"),
        ({"wall_seconds": 9.9}, "record.json: train_seconds, by wall_seconds"),
        ({"wall_seconds": 12.1}, "record.json: wall_seconds, by the time from started to finished"),
        ({"facts": {"resumed_from_step": 2}, "wall_seconds": 6.9}, "record.json: train_seconds, by wall_seconds"),
        ({"facts": {"resumed_from_step": 4}}, "record.json: resumed_from_step"),
        (
            {"facts": {"finished": "yesterday"}},
            "record.json: its seconds and memory cannot be checked: ",
        ),
        ({"peak_rss_bytes": 880}, "record.json: peak_rss_bytes, by its history"),
        ({"steps": {"gpu_bytes": [70, None, None, 80]}}, "record.json: peak_gpu_bytes, by its history"),
        (
            {"steps": {"rss_bytes": [None, None, None, 99]}, "peak_rss_bytes": 399},
            "record.json: peak memory, by the size of the weights",
        ),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, given, line):
    lines = found(tmp_path, **given)
    assert any(one.startswith(line) for one in lines), lines


def test_a_trial_has_its_seconds_alone(tmp_path):
    facts = {"started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:00:12+00:00", "undefined": None}
    facts |= {"resumed_from_step": 0, "train_seconds": 10.0}
    for changed, count in ({}, 0), ({"train_seconds": 9.0}, 1), ({"finished": facts["started"]}, 1):
        findings = Findings()
        left = Traces(run=None, path=tmp_path / "trial-0-seed-100.json", record=facts | changed)
        costs.check(None, left, pa.table(STEPS), findings)
        assert len(findings.found) == count
