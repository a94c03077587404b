"""The training loop: the same for every method; a run's budget and order of examples come in ready made."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch.nn import functional

import frod
from frod import backbones
from frod.config import Training
from frod.method.wrappers import copy_into, full_tensor
from frod.training import checkpoints, sharding
from frod.training.methods.trained import trained_state
from frod.training.order import Budget
from frod.training.predict import move
from frod.training.processes import SINGLE_PROCESS, Processes
from frod.training.schedule import factor

FLUSH_STEPS = 10  # losses wait on the device for so many steps: reading each would stall a GPU


class Diverged(RuntimeError):
    """The loss is not finite; the message names step, loss and rates."""


@dataclass(kw_only=True)
class Trainer:
    """Trains `model` in place.

    Parameters
    ----------
    model : Module
        As the method left it; moved to the processes' device. Sharded already where they are.
    groups : list of dict
        The method's parameter groups, each with `name`, `lr`, `weight_decay` and `params`.
    data : frod.tasks.arrays.Split
        Training split.
    chosen : ndarray of shape (train_examples,)
        Positions in `data` that `batches` count in.
    batches : list of ndarray
        Examples of each step (order.plan).
    autocast : callable
        A context that computes in the precision asked for.
    validate : callable
        Model -> value of the primary metric on validation; called after each epoch.
    checkpoint : Path
        Where to leave checkpoints, and to go on from, every `checkpoint_seconds`.
    fingerprint : str
        Digest of all that the run depends on: a checkpoint of another is not used.
    eval_state : object with state() and restore(state), optional
        What `validate` keeps over the epochs; it goes into the checkpoints.
    processes : Processes
        Those that train this model together; each has a Trainer of its own, alike but for `processes`.
    """

    model: torch.nn.Module
    groups: list[dict[str, Any]]
    data: Any
    chosen: np.ndarray
    batches: list[np.ndarray]
    budget: Budget
    training: Training
    regression: bool
    autocast: Callable[[], AbstractContextManager]
    validate: Callable[[torch.nn.Module], float]
    checkpoint: Path
    checkpoint_seconds: float
    fingerprint: str
    eval_state: Any = None
    processes: Processes = SINGLE_PROCESS
    on_step: Callable[[int], None] = lambda step: None
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    started_at: int = 0

    def __post_init__(self) -> None:
        self.optimiser = torch.optim.AdamW(self.groups, fused=True)
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        self.plain = self.model  # without the wrapper for several processes
        self.model = self.processes.wrap(self.plain)
        self.trained = [p for group in self.optimiser.param_groups for p in group["params"]]
        self.process = psutil.Process()
        self.process.cpu_percent()  # the first call only starts the count
        self.pending: list[tuple[int, torch.Tensor, torch.Tensor]] = []

    def run(self) -> None:
        """Train to the end; `history` then has one row a step.

        Diverged where a loss or gradient is not finite; `history` ends with that step.
        """
        self.started_at = start = self._resume()
        saved = time.monotonic()
        self.model.train()
        for step in range(start, self.budget.steps):
            self._step(step)
            last = step + 1 == self.budget.steps
            epoch_ends = last or (step + 1) % self.budget.steps_per_epoch == 0
            if epoch_ends or (step + 1) % FLUSH_STEPS == 0:
                self._flush()
                self._progress(step + 1, start)
            if epoch_ends:
                self.history[-1]["validation"] = self.validate(self.model)
                self.model.train()  # not every step: it visits each module
            if not last and self.processes.all_true(time.monotonic() - saved >= self.checkpoint_seconds):
                self._save(step + 1)
                saved = time.monotonic()
            self.on_step(step + 1)

    def _step(self, step: int) -> None:
        began = time.perf_counter()
        scale = factor(step, self.budget.steps, self.training)
        for group, rate in zip(self.optimiser.param_groups, self.rates):
            group["lr"] = rate * scale
        batch = self.chosen[self.batches[step]]
        *earlier, last = np.array_split(batch, min(self.budget.accumulation, len(batch)))
        # What the loss is a mean of: examples or, of what a language model writes or scores, the right answers' tokens.
        terms = self.data.answer_tokens(batch) if "prompts" in self.data.arrays else len(batch)
        total = torch.zeros((), device=self.processes.device)
        for micro in earlier:
            # FRoD's weights, and the exchange between processes, need working out once a step only: in the last.
            alone = self.processes.no_exchange(self.model)
            with alone, frod.accumulating(self.model, len(earlier) + 1):
                total += self._backward(micro, terms)
        total += self._backward(last, terms)
        limit = self.training.clip if self.training.clip is not None else math.inf
        norm = full_tensor(torch.nn.utils.clip_grad_norm_(self.trained, limit))
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.pending.append((step, total, norm))
        self.seconds += (elapsed := time.perf_counter() - began)
        rates = {f"lr_{g['name']}": g["lr"] for g in self.optimiser.param_groups}
        epoch = (step + 1) / self.budget.steps_per_epoch
        row = {"step": step + 1, "epoch": epoch, "loss": math.nan, "grad_norm": math.nan, "examples": len(batch)}
        self.history.append(row | {"seconds": self.seconds, "step_seconds": elapsed, "validation": math.nan} | rates)

    def _backward(self, micro: np.ndarray, terms: int) -> torch.Tensor:
        """Add the gradient of some of a batch's examples, whose loss has so many terms; return their part of its loss.

        Of several processes each does its share.
        """
        mine, counts = self.processes.shard(micro)
        inputs = move(self.data.batch(mine), self.processes.device)
        labels = inputs.pop("labels")
        with self.autocast():
            scores = backbones.logits(self.model, inputs)
        # Sum over the micro-batch, over the size of the whole: micro-batches of unlike size weigh as they should.
        loss = self._loss(scores.float(), labels) / terms
        if not counts:
            loss = loss * 0
        (loss * self.processes.world_size).backward()  # the exchange takes the mean over the processes
        return loss.detach()

    def _loss(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.regression:
            return functional.mse_loss(scores.squeeze(-1), labels.float(), reduction="sum")
        if labels.ndim == 2:  # tokens of an answer, each to be told from all before it
            scores, labels = scores[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
        return functional.cross_entropy(scores, labels, reduction="sum")

    def _flush(self) -> None:
        """Read the pending losses from the device and stop at the first that is not finite."""
        steps, losses, norms = zip(*self.pending) if self.pending else ((), (), ())
        sums = self.processes.all_reduce_sum(torch.stack(losses).cpu().double()).tolist() if losses else []
        for step, loss, norm in zip(steps, sums, map(float, norms)):
            self.history[step]["loss"], self.history[step]["grad_norm"] = loss, norm
            if not (math.isfinite(loss) and math.isfinite(norm)):
                del self.history[step + 1 :]
                row = self.history[step]
                rates = ", ".join(f"{name} {row[name]:.3g}" for name in row if name.startswith("lr_"))
                raise Diverged(
                    f"step {step + 1} of {self.budget.steps}: loss {loss}, gradient norm {norm}, "
                    f"rates {rates}. Lower this method's rates in the suite, or clip gradients (training.clip)."
                )
        self.pending.clear()
        if self.history:
            self.history[-1] |= self._system()

    def _system(self) -> dict[str, float]:
        """Memory and processor use of this process now; MLflow shows them as system metrics."""
        use = {"rss_bytes": self.process.memory_info().rss, "cpu_percent": self.process.cpu_percent()}
        if torch.cuda.is_available():
            use["gpu_bytes"] = torch.cuda.memory_allocated()
        return use

    def _progress(self, step: int, start: int) -> None:
        row = self.history[step - 1]
        left = (self.budget.steps - step) * self.seconds / max(1, step)
        print(f"step {step}/{self.budget.steps}  loss {row['loss']:.4f}  about {left:.0f} s left", flush=True)

    def _save(self, step: int) -> None:
        self._flush()
        trained = trained_state(self.plain)
        checkpoints.save(
            self.checkpoint,
            self.fingerprint,
            self.processes,
            step=step,
            model=sharding.whole(trained),
            optimiser=sharding.whole_optimiser(self.optimiser),
            pieces=sharding.pieces(trained, self.optimiser),
            history=self.history,
            seconds=self.seconds,
            eval_state=self.eval_state and self.eval_state.state(),
        )
        print(f"checkpoint after step {step}", flush=True)

    def _resume(self) -> int:
        state = checkpoints.load(self.checkpoint, self.fingerprint, self.processes)
        if state is None:
            return 0
        trained = trained_state(self.plain)
        if set(state["model"]) != set(sharding.whole(trained)):
            raise ValueError(
                f"{self.checkpoint}: holds other parameters than the model trains; delete it to start again"
            )
        for name, tensor in state["model"].items():
            copy_into(trained[name], tensor)
        sharding.load_optimiser(self.optimiser, state["optimiser"])
        checkpoints.load_pieces(self.checkpoint, state["step"], sharding.pieces(trained, self.optimiser))
        self.history, self.seconds = state["history"], state["seconds"]
        if self.eval_state:
            self.eval_state.restore(state["eval_state"])
        print(f"going on from the checkpoint after step {state['step']}", flush=True)
        return state["step"]
