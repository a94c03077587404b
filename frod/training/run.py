"""The stage function of `frod train`: a loaded model and prepared splits in, history and predictions out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from frod import files, numerics
from frod.config import Run, Training
from frod.evaluation import metrics
from frod.method.heads import within
from frod.provenance.run_keys import DIVERGED
from frod.training import methods, order, seeds, sharding
from frod.training.best import BestEpoch
from frod.training.loop import Diverged, Trainer
from frod.training.methods import size
from frod.training.methods.trained import count
from frod.training.predict import as_table, predict
from frod.training.processes import SINGLE_PROCESS, Processes

EVALUATION_FACTOR = 4  # evaluation keeps no gradients: larger batches


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a training leaves, besides the trained model."""

    history: pd.DataFrame
    """One row a step: step, epoch, loss, grad_norm, examples, seconds, step_seconds, validation_METRIC, lr_GROUP; under
    the released protocol test_METRIC in place of validation_METRIC."""
    predictions: pd.DataFrame
    """split, example_id, label, prediction, scores."""
    budget: dict[str, Any]
    parameters: dict[str, Any]
    seeds: dict[str, int]
    best_epoch: int | None
    """Of the released protocol: which epoch, from 1, the predictions of split `test_best_epoch` are of."""
    evaluations: dict[str, int]
    """How often each split was predicted, before an interruption and since."""
    undefined: str | None
    """Why there is no figure: "diverged: ...", where the loss, a gradient or a score was first not finite. History ends
    there, there are no predictions, and what was trained is all nan."""
    train_seconds: float
    resumed_from: int

    def write_tables(self, history: Path, predictions: Path) -> None:
        """Write both tables as parquet, each whole or not at all."""
        for table, path in ((self.history, history), (self.predictions, predictions)):
            with files.path_for(path) as partial:
                table.to_parquet(partial, index=False)


def deterministic(threads: int) -> None:
    """Make this process repeatable: numerics, number of threads, algorithms that do not depend on timing."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    numerics.hold(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # No operation reads memory that nothing has been written to; filling it took some percent of a step.
    # (torch makes a class of that module, with this as a property: its types do not know it.)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def precision(training: Training, device: torch.device) -> Callable[[], torch.autocast]:
    """Return what makes a context that computes in the precision asked for: `auto` is bfloat16 on a GPU."""
    half = training.precision == "bfloat16" or (training.precision == "auto" and device.type == "cuda")
    return partial(torch.autocast, device.type, torch.bfloat16, enabled=half)


def train(
    run: Run,
    model: torch.nn.Module,
    splits: dict[str, Any],
    *,
    head: list[str],
    basis: Any,
    metric_names: list[str],
    regression: bool,
    checkpoint: Path,
    checkpoint_seconds: float,
    fingerprint: str,
    processes: Processes = SINGLE_PROCESS,
    on_step: Callable[[int], None] = lambda step: None,
) -> Outcome:
    """Fine-tune `model` in place; predict validation and, once, at the end, whatever test splits there are.

    Under the released protocol there is no validation: test is predicted after every epoch, and the best epoch's
    predictions are kept as split `test_best_epoch`.

    Parameters
    ----------
    splits : dict of frod.tasks.arrays.Split
        train, validation (audited), and tests: `test` and `test_NAME`. A trial of rates gives no test.
    head : list of str
        Modules that every method trains in full.
    basis : frod.Basis or None
        Needed by kind frod only.
    metric_names : list of str
        Of the task; the first is followed after each epoch.
    processes : Processes
        Those that do this together: all get the same outcome, and of a sharded model each has its pieces.
    """
    streams = {name: seeds.stream(run.seed, name) for name in ("head", "adapter", "order", "dropout")}
    released = run.protocol == "released"
    base = sum(p.numel() for name, p in model.named_parameters() if not within(name, *head))
    match = None if run.matched is None else size.match(model, run.adapter, run.matched, run.targets)
    method = match.adapter if match else run.adapter
    adapter = methods.of_kind(method.kind)
    adapter.apply(model, method, targets=run.targets, head=head, basis=basis, seed=streams["adapter"])
    training = run.training
    autocast = precision(training, processes.device)
    if processes.sharded:
        sharding.shard(model, processes.device, processes.world_size)
    groups = adapter.groups(model, run.rates, head, training.weight_decay)
    processes.seed(streams["dropout"])

    chosen = seeds.subset(splits["train"].labels, training.max_train, run.split_seed)
    budget, batches = order.plan(len(chosen), training, run.seed, splits["train"].lengths[chosen])
    watched = "test" if released else "validation"
    positions = {name: np.arange(len(split)) for name, split in splits.items() if name.startswith("test")}
    if not released:
        some = seeds.subset(splits["validation"].labels, training.max_validation, run.split_seed)
        positions = {"validation": some} | positions
    evaluations = dict.fromkeys(positions, 0)
    latest: dict[str, pd.DataFrame] = {}
    best = BestEpoch(partial(as_table, splits["test"], positions["test"], split="test")) if released else None

    def predictions(model: torch.nn.Module, split: str, chosen: np.ndarray) -> pd.DataFrame:
        evaluations[split] += 1
        with autocast():
            table = predict(
                model,
                splits[split],
                chosen,
                split=split,
                batch_size=EVALUATION_FACTOR * training.batch_size,
                device=processes.device,
                processes=processes,
            )
        if not np.isfinite(np.stack(table["scores"].tolist())).all():
            raise Diverged(f"scores on {split} are not finite; lower this method's rates in the suite")
        return table

    def after_epoch(model: torch.nn.Module) -> float:
        latest[watched] = table = predictions(model, watched, positions[watched])
        value = metrics.compute(table, metric_names[:1])[metric_names[0]]
        if best:
            best.offer(value, table)
        return value

    trained = count(model, head)
    trainer = Trainer(
        model=model,
        groups=groups,
        data=splits["train"],
        chosen=chosen,
        batches=batches,
        budget=budget,
        training=training,
        regression=regression,
        autocast=autocast,
        validate=after_epoch,
        checkpoint=checkpoint,
        checkpoint_seconds=checkpoint_seconds,
        fingerprint=fingerprint,
        eval_state=best,
        processes=processes,
        on_step=on_step,
    )
    undefined = None
    try:
        trainer.run()
        # The last epoch's predictions are the trained model's: they are not made twice.
        tables = [
            latest[split] if split in latest else predictions(model, split, chosen)
            for split, chosen in positions.items()
        ]
        tables += [best.table] if best and best.table is not None else []
    except Diverged as error:
        undefined, best = f"{DIVERGED}: {error}", None
        print(undefined, flush=True)
        tables = [
            as_table(splits[watched], np.arange(0), np.empty((0, 1 if regression else 2), np.float32), split=watched)
        ]
        poison(groups)
    if processes.sharded:
        sharding.reshard(model)
    history = pd.DataFrame(trainer.history)
    return Outcome(
        history=history.rename(columns={"validation": f"{watched}_{metric_names[0]}"}),
        predictions=pd.concat(tables, ignore_index=True),
        budget=asdict(budget),
        parameters={"trainable": trained, "base": base}
        | ({"matched": match.facts(trained["adapter"])} if match else {})
        | ({"degenerate": basis.degenerate} if basis and basis.degenerate else {}),
        best_epoch=best.epoch if best else None,
        evaluations=evaluations | {watched: evaluations[watched] + trainer.started_at // budget.steps_per_epoch},
        undefined=undefined,
        seeds=streams | {"run": run.seed, "split": run.split_seed},
        train_seconds=trainer.seconds,
        resumed_from=trainer.started_at,
    )


@torch.no_grad()
def poison(groups: list[dict[str, Any]]) -> None:
    """Make all that was trained nan: how far a diverged training got is up to when it was noticed."""
    for group in groups:
        for parameter in group["params"]:
            parameter.fill_(torch.nan)
