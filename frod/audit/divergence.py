"""Runs that diverged, and those that did not: record, history, predictions and adapter tell of one and the same end.

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
from frod.provenance.artefacts import read_header
from frod.provenance.run_keys import DIVERGED, RunKey

if TYPE_CHECKING:
    import pyarrow as pa

ENDED = "the record names no divergence"
SCORES = f"{DIVERGED}: scores on "
"""So begins a message of scores that were not finite after losses that were."""


def check(study: Study, key: RunKey, findings: Findings) -> None:
    """Hold what the record says of a divergence against the run's own files."""
    record, folder = study.records.get(key), study.folder(key)
    if record is None or not (folder / "history.parquet").is_file():
        return
    import pyarrow.parquet as pq

    said = record.get("undefined")
    with findings.guard(folder / "history.parquet", "whether its losses are finite"):
        table = pq.read_table(folder / "history.parquet")
        broken = first_broken(table)
        if said is not None:
            _check_diverged(study, key, str(said), table, broken, findings)
        elif broken is not None:
            step, loss, norm = broken
            what = f"loss and gradient norm of step {step}; {ENDED}"
            findings.add(folder / "history.parquet", what, "finite numbers", f"{loss}, {norm}", remedy=AGAIN)
    if said is not None:
        with findings.guard(folder / "adapter.safetensors", "whether it is all nan"):
            _check_adapter(study, key, findings)
        findings.checked["divergences"] += 1


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
    study: Study, key: RunKey, said: str, table: pa.Table, broken: Step | None, findings: Findings
) -> None:
    """The history ends with what the record tells: a loss that is not finite, or the look at scores that were not."""
    folder, planned = study.folder(key), budget(study, study.runs[key])
    path, steps = folder / "record.json", table.num_rows
    if broken is not None:
        step, loss, norm = broken
        expected = f"{DIVERGED}: step {step} of {planned['steps']}: loss {loss}, gradient norm {norm}"
        if not said.startswith(expected):
            findings.add(path, "undefined, by history.parquet", expected, said, remedy=AGAIN)
        findings.equal(folder / "history.parquet", "steps, by the first that is not finite", step, steps, remedy=AGAIN)
        return
    looked = steps == planned["steps"] or steps % planned["steps_per_epoch"] == 0
    if not (said.startswith(SCORES) and looked):
        what = f"undefined, by history.parquet, whose {steps} losses are all finite"
        findings.add(path, what, None, said, remedy=AGAIN)
        return
    watched = next(name for name in table.column_names if name.startswith(("validation_", "test_")))
    split, figure = watched.partition("_")[0], table[watched][-1].as_py()
    if said.startswith(f"{SCORES}{split} ") and figure is not None and math.isfinite(figure):
        findings.add(path, f"undefined, by {watched} in history.parquet", None, said, remedy=AGAIN)


def _check_adapter(study: Study, key: RunKey, findings: Findings) -> None:
    """What was trained is nan, so that no one takes it for a result."""
    from safetensors import safe_open

    path = study.folder(key) / "adapter.safetensors"
    if not path.is_file():
        return
    trained = trained_of(study, key)
    read_header(path, remedy=AGAIN)
    names = trained.body | trained.head
    with safe_open(path, framework="pt") as file:
        whole = [name for name in file.keys() if name in names and not file.get_tensor(name).isnan().all()]  # noqa: SIM118
    if whole:
        more = f" and {len(whole) - 1} more" if len(whole) > 1 else ""
        findings.add(path, f"tensor {min(whole)}{more}, of a run that diverged", "nan", "numbers", remedy=AGAIN)
