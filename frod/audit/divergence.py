"""Trainings that diverged, and those that did not: record, history, predictions and adapter tell of one same end.

A divergence that is claimed takes a figure out of the comparison, and one that is not named may leave one in it that is
none; so each is held against the losses, which are there step by step.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from frod.audit.counts import trained_of
from frod.audit.findings import Findings
from frod.audit.runs import AGAIN, budget
from frod.audit.study import Study
from frod.audit.traces import Traces
from frod.provenance.artefacts import read_header
from frod.provenance.run_keys import DIVERGED, RunKey

if TYPE_CHECKING:
    import pyarrow as pa

ENDED = "the record names no divergence"
SCORES = f"{DIVERGED}: scores on "
"""So begins a message of scores that were not finite after losses that were."""


def check(study: Study, left: Traces, table: pa.Table, findings: Findings) -> None:
    """Hold what the record of a run or a trial says of a divergence against its history."""
    said = left.undefined
    with findings.guard(left.history, "whether its losses are finite"):
        broken = first_broken(table)
        if said is not None:
            _check_diverged(study, left, str(said), table, broken, findings)
            findings.checked["divergences"] += 1
        elif broken is not None and left.record:
            step, loss, norm = broken
            what = f"loss and gradient norm of step {step}; {ENDED}"
            findings.add(left.history, what, "finite numbers", f"{loss}, {norm}", remedy=AGAIN)


Step = tuple[int, float, float]
"""Number from 1, loss, gradient norm."""


def first_broken(table: pa.Table) -> Step | None:
    """The first step whose loss or gradient is not finite."""
    # pandas writes nan as null
    losses, norms = (
        [math.nan if value is None else value for value in table[name].to_pylist()] for name in ("loss", "grad_norm")
    )
    steps = enumerate(zip(losses, norms), start=1)
    return next(((step, *values) for step, values in steps if not all(map(math.isfinite, values))), None)


def _check_diverged(
    study: Study, left: Traces, said: str, table: pa.Table, broken: Step | None, findings: Findings
) -> None:
    """The history ends with what the record tells: a loss that is not finite, or the look at scores that were not."""
    planned, path, steps = budget(study, left.run), left.path, table.num_rows
    if broken is not None:
        step, loss, norm = broken
        expected = f"{DIVERGED}: step {step} of {planned['steps']}: loss {loss}, gradient norm {norm}"
        if not said.startswith(expected):
            findings.add(path, f"undefined, by {left.history.name}", expected, said, remedy=AGAIN)
        findings.equal(left.history, "steps, by the first that is not finite", step, steps, remedy=AGAIN)
        return
    looked = steps == planned["steps"] or steps % planned["steps_per_epoch"] == 0
    if not (said.startswith(SCORES) and looked):
        what = f"undefined, by {left.history.name}, whose {steps} losses are all finite"
        findings.add(path, what, None, said, remedy=AGAIN)
        return
    watched = next(name for name in table.column_names if name.startswith(("validation_", "test_")))
    split, figure = watched.partition("_")[0], table[watched][-1].as_py()
    if said.startswith(f"{SCORES}{split} ") and figure is not None and math.isfinite(figure):
        findings.add(path, f"undefined, by {watched} in {left.history.name}", None, said, remedy=AGAIN)


def check_adapter(study: Study, key: RunKey, findings: Findings) -> None:
    """What a run that diverged has trained is nan, so that no one takes it for a result."""
    from safetensors import safe_open

    path = study.folder(key) / "adapter.safetensors"
    if study.undefined(key) is None or not path.is_file():
        return
    with findings.guard(path, "whether it is all nan"):
        trained = trained_of(study, study.runs[key])
        read_header(path, remedy=AGAIN)
        names = trained.body.keys() | trained.head
        with safe_open(path, framework="pt") as file:
            whole = [name for name in file.keys() if name in names and not file.get_tensor(name).isnan().all()]  # noqa: SIM118
        if whole:
            more = f" and {len(whole) - 1} more" if len(whole) > 1 else ""
            findings.add(path, f"tensor {min(whole)}{more}, of a run that diverged", "nan", "numbers", remedy=AGAIN)
