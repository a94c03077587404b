"""Trainings of one task are copies where losses or predictions agree to the bit and seed, rates or method do not."""

from types import SimpleNamespace

import pyarrow as pa
import pytest

from frod.audit import trainings
from frod.audit.findings import Findings
from frod.audit.traces import Traces
from frod.config import Method, Rates, Run, Training

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
    study, findings = SimpleNamespace(seen={}, digests=SimpleNamespace(sha256=lambda path: "00")), Findings()
    for name, run in (("one", RUN), ("two", RUN.model_copy(update=changed))):
        left = Traces(run=run, path=tmp_path / name / "record.json", record={"undefined": None})
        trainings.remember(study, left, pa.table({"loss": losses}))
    trainings.check_copies(study, findings)
    assert [one.line().removeprefix(f"{tmp_path}/").partition(": to the bit")[0] for one in findings.found] == lines
