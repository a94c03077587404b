"""Whether a run that was done again gave the same, and by which standard that is judged.

With the packages that it was trained with, a run is repeatable to the last bit: under portable numerics everywhere,
else on its own processor. There a single bit that differs is a finding. Otherwise sums are added in another order, and
training carries the last digit forward; then what counts is how far the two trainings end from each other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frod import files, numerics, terminal
from frod.provenance import artefacts
from frod.provenance.records import TABLES, outputs_of
from frod.provenance.run_keys import stopped
from frod.runs import deviations
from frod.runs.deviations import Compared
from frod.runs.finished_run import Finished

if TYPE_CHECKING:
    from rich.table import Table
    from torch import nn

    from frod.training.run import Outcome

# Between what another instruction set made of runs of the smoke suite (shares up to 0.024) and a learning rate that was
# changed by a tenth (0.07 to 1). The longer a training, the further its last digits are carried: ask for more there.
TOLERANCE = 0.05

# What does the arithmetic; another version of anything else leaves the numbers alone.
COMPUTING = ("torch", "torchvision", "transformers", "timm", "peft", "numpy")


@dataclass(frozen=True)
class Standard:
    """What a replay is held to: each bit (`tolerance` None), or a tolerance, and the reasons for that."""

    tolerance: float | None
    reasons: tuple[str, ...] = ()

    @classmethod
    def between(cls, recorded: Mapping[str, Any], here: Mapping[str, Any], tolerance: float | None) -> Standard:
        """Choose by two environments of `frod.provenance.records`; a tolerance that was asked for is taken."""
        reasons = [
            f"{name}: {here[name]} here, {recorded[name]} recorded"
            for name in ("accelerator", "threads")
            if here[name] != recorded[name]
        ]
        reasons += filter(None, [numerics.differing(recorded, here)])
        if here["accelerator"] is not None and here["accelerator"] == recorded["accelerator"]:
            reasons.append(f"trained on a GPU ({here['accelerator']}), where sums may come in another order")
        changed = any(note.split()[0] in COMPUTING for note in package_notes(recorded, here))
        default = TOLERANCE if reasons or changed else None
        return cls(default if tolerance is None else tolerance, tuple(reasons))

    def accepts(self, compared: Compared) -> bool:
        """Whether these numbers count as the same."""
        return compared.exact if self.tolerance is None else compared.share <= self.tolerance


def package_notes(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Say which packages, and whether Python, are of another version; one line each."""
    old = {"python": recorded["python"]} | dict(recorded["packages"])
    new = {"python": here["python"]} | dict(here["packages"])
    return [
        f"{name} {new.get(name, 'is not installed')} here, {old.get(name, 'not installed')} recorded"
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]


def check_code(finished: Finished, here: str, *, go_on: bool) -> list[str]:
    """Hold the code that is here against the run's; a note where it is other and `go_on` says not to mind.

    Raises
    ------
    ValueError
        Names the commit to check out.
    """
    if here == finished.code:
        return []
    commit = finished.facts["code"]["git_commit"] if not finished.is_trial else None
    edited = " (whose files had been edited)" if commit and finished.facts["code"]["git_dirty"] else ""
    other = f"the code that trains is {here[:12]} here, {finished.code[:12]} recorded"
    if go_on:
        return [other]
    where = f"check out its commit {commit}{edited}" if commit else "check out the commit that the other runs name"
    raise ValueError(f"{finished.path}: {other}: {where}, or compare across code with --other-code")


def check_files(finished: Finished) -> None:
    """Open what a replay is going to be compared with; ValueError where a file of the run is missing or cut short."""
    remedy = "bring it back (`dvc checkout`), or let the workflow finish the run (frod train, frod evaluate)"
    for name in TABLES:
        artefacts.read_table(finished.output(name), remedy=remedy)
    if not finished.is_trial:
        artefacts.read_header(finished.output("adapter.safetensors"), remedy=remedy)
        artefacts.read_json(finished.output("metrics.json"), remedy=remedy)


def write(folder: Path, model: nn.Module, outcome: Outcome, finished: Finished) -> None:
    """Write what `frod train` and `frod evaluate` would, or `frod trial`, but for the record."""
    from frod.evaluation import metrics
    from frod.tasks import arrays
    from frod.training.methods import trained

    outcome.write_tables(folder / "history.parquet", folder / "predictions.parquet")
    if finished.is_trial:
        return
    trained.save(model, folder / "adapter.safetensors", finished.run.adapter.kind)
    manifest = arrays.load_manifest(finished.task, verify=False)
    files.write_json(
        folder / "metrics.json", metrics.evaluate(folder / "predictions.parquet", manifest, outcome.undefined)
    )


def of_run(finished: Finished, outcome: Outcome, folder: Path) -> list[Compared]:
    """Compare the run's files with those that `write` left in `folder`, and its record with the outcome."""
    adapter, metrics = ((finished.output(name), folder / name) for name in ("adapter.safetensors", "metrics.json"))
    facts = ["budget", "parameters", "seeds", "best_epoch", "evaluations"]
    undefined = finished.facts["undefined"], outcome.undefined
    return [
        as_recorded(finished),
        *(deviations.exactly(f"record: {name}", finished.facts[name], getattr(outcome, name)) for name in facts),
        *([_divergence(*undefined)] if any(undefined) else []),
        deviations.adapters(*adapter, lambda: _start(finished, folder)),
        *of_tables(finished, folder),
        *deviations.metrics(*(json.loads(path.read_text("utf-8")) for path in metrics)),
    ]


def of_tables(finished: Finished, folder: Path) -> list[Compared]:
    """Compare predictions and history with those that `write` left in `folder`."""
    import pandas as pd

    history, predictions = (map(pd.read_parquet, (finished.output(name), folder / name)) for name in TABLES)
    return [*deviations.predictions(*predictions), *deviations.histories(*history)]


def of_trial(finished: Finished, outcome: Outcome) -> list[Compared]:
    """Compare a trial's figure on validation; of a training that diverged, where it did."""
    facts = finished.facts
    if outcome.undefined or stopped(facts["undefined"]):
        return [_divergence(facts["undefined"], outcome.undefined)]
    column = f"validation_{facts['metric']}"
    found = [
        deviations.exactly(f"record: {name}", facts[name], getattr(outcome, name)) for name in ("budget", "evaluations")
    ]
    old = math.nan if facts["validation"] is None else facts["validation"]
    new = float(outcome.history[column].iloc[-1])
    return [*found, deviations.numbers(column, np.array([old]), np.array([new]), scale=1.0)]


def _divergence(was: str | None, now: str | None) -> Compared:
    """Compare where two trainings diverged: within a tolerance it is enough that both did."""
    unlike = int(was != now)
    where = f"{was or 'ended'}, now {now or 'ended'}" if unlike else ""
    share = 0.0 if was and now else math.inf
    return Compared(what="divergence", values=1, differing=unlike, largest=math.inf, share=share, where=where)


def table(found: Sequence[Compared], standard: Standard) -> Table:
    """Draw what was compared; what is not accepted says where it differs."""
    groups: dict[str, list[Compared]] = {}
    for one in found:
        groups.setdefault(one.what.partition(":")[0], []).append(one)
    rows = []
    for name, members in groups.items():
        exact = [one for one in members if one.exact]
        if exact:
            rest = "" if len(exact) == len(members) else ", the rest"
            rows.append([name + rest, f"{sum(one.values for one in exact):,}", "0"])
        for one in members:
            if not one.exact:
                refused = "" if standard.accepts(one) else one.where or "yes"
                numbers = f"{one.largest:.3g}", f"{one.share:.3g}"
                rows.append([one.what, f"{one.values:,}", f"{one.differing:,}", *numbers, refused])
    columns = ["compared", "values", "differ", "largest difference", "share", "not accepted"]
    return terminal.table(columns, rows, left=("compared", "not accepted"))


def verdict(found: Sequence[Compared], standard: Standard) -> tuple[bool, str]:
    """Say whether the result is the same, and in which sense."""
    unlike = [one.what for one in found if not standard.accepts(one)]
    held_to = "bit for bit" if standard.tolerance is None else f"within a share of {standard.tolerance:g}"
    if unlike:
        return False, f"not the same {held_to}: {', '.join(unlike)}"
    if all(one.exact for one in found):
        return True, "the same, bit for bit"
    return True, f"the same {held_to}; the largest is {max(one.share for one in found):.3g}"


def as_recorded(finished: Finished) -> Compared:
    """Compare the files of a training with the hashes in its record."""
    changed = files.mismatches(finished.path.parent, outputs_of(finished.facts), by=finished.path.name)
    share = math.inf if changed else 0.0
    return Compared(
        what="record: files",
        values=len(finished.facts["outputs"]),
        differing=len(changed),
        largest=share,
        share=share,
        where="; ".join(changed),
    )


def _start(finished: Finished, folder: Path) -> Path:
    """Write what the run trains, as it was before training."""
    import frod
    from frod.runs import restore
    from frod.tasks import arrays
    from frod.training.methods import trained

    basis = frod.Basis.load(finished.basis) if finished.basis else None
    manifest = arrays.load_manifest(finished.task, verify=False)
    model = restore.start(finished.run, finished.backbone, manifest, basis)
    trained.save(model, folder / "start.safetensors", finished.run.adapter.kind)
    return folder / "start.safetensors"
