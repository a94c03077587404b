"""Trainings of one task are copies where losses or predictions agree to the bit and seed, rates or method do not.

A method is what has an effect of it: what is written otherwise and does the same makes no other one.
"""

from types import SimpleNamespace

import pyarrow as pa
import pytest

from frod.audit import trainings
from frod.audit.findings import Findings
from frod.audit.traces import Traces
from frod.config import Method, Params, Rates, Run, Training, Workflow

RUN = Run(
    suite="s", task="t", backbone="b", method="m", seed=0, protocol="audited", adapter=Method(kind="linear_probe"),
    matched=None, rates=Rates(lr_head=0.1), targets=None, training=Training(), split_seed=0,
)  # fmt: skip
COPY = ["two/history.parquet: losses", "two/predictions.parquet: predictions"]


@pytest.mark.parametrize(
    ("changed", "losses", "lines"),
    [
        ({"seed": 1}, [2.0, 1.0], COPY),
        ({"rates": Rates(lr_head=0.2)}, [2.0, 1.0], COPY),
        ({"training": Training(epochs=9)}, [2.0, 1.0], COPY),
        ({"adapter": Method(kind="full_ft")}, [2.0, 1.0], COPY),
        ({"method": "another_name"}, [2.0, 1.0], []),  # the very same training
        ({"seed": 1, "task": "another"}, [2.0, 1.0], []),
        ({"seed": 1}, [2.0], []),  # before the first update all are alike
    ],
)
def test_a_copy_is_named(tmp_path, changed, losses, lines):
    assert copies(tmp_path, RUN, RUN.model_copy(update=changed), losses) == lines


def copies(folder, one, two, losses=(2.0, 1.0)):
    """What an audit names of two trainings with the same losses and predictions."""
    study, findings = SimpleNamespace(seen={}, digests=SimpleNamespace(sha256=lambda path: "00")), Findings()
    study.workflow = Workflow.model_construct(params=Params(suite="s"))
    for name, run in (("one", one), ("two", two)):
        left = Traces(run=run, path=folder / name / "record.json", record={"undefined": None})
        trainings.remember(study, left, pa.table({"loss": losses}))
    trainings.check_copies(study, findings)
    return [one.line().removeprefix(f"{folder}/").partition(": to the bit")[0] for one in findings.found]


FROZEN = {"kind": "frod", "sparse_rate": 0.02, "freeze": ["rotation"]}
WHOLE = {"kind": "frod", "sparse_rate": 0.02}
R8 = {"kind": "peft", "config": "LoraConfig", "arguments": {"r": 8}}
MATCHED = {"kind": "peft", "config": "LoraConfig", "match_parameters": "frod"}


@pytest.mark.parametrize(
    ("one", "two", "alike"),
    [
        (FROZEN, FROZEN | {"sparse_rate": 0.05}, True),
        (FROZEN, FROZEN | {"pattern_seed": 3}, True),
        (FROZEN, {"kind": "frod", "sparse_rate": 0.0}, True),
        (FROZEN, FROZEN | {"basis": {"kind": "random"}}, False),
        (FROZEN, WHOLE, False),
        (WHOLE, WHOLE | {"sparse_rate": 0.05}, False),
        (WHOLE, WHOLE | {"pattern_seed": 3}, False),
        (WHOLE, WHOLE | {"basis": {"kind": "shared"}}, True),
        (WHOLE, WHOLE | {"basis": {"ridge": 1e-3}}, True),
        (WHOLE, WHOLE | {"basis": {"ridge": 1.0}}, False),
        (WHOLE, WHOLE | {"plan": "factored"}, True),
        (R8, MATCHED, True),
        (R8 | {"arguments": {"r": 4}}, MATCHED, False),
    ],
)
def test_what_is_said_otherwise_without_effect_makes_no_copy(tmp_path, monkeypatch, one, two, alike):
    monkeypatch.setattr(
        trainings, "trained_of", lambda study, run: SimpleNamespace(matched={"argument": "r", "value": 8})
    )
    runs = [RUN.model_copy(update={"adapter": Method(**method)}) for method in (one, two)]
    runs = [run.model_copy(update={"matched": run.adapter.match_parameters and Method(**WHOLE)}) for run in runs]
    assert copies(tmp_path, *runs) == ([] if alike else COPY)
