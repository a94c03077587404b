"""Time, memory and disk of each job of a workflow: trainings and the trials that rates are chosen by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from frod.config import Method, Run, Workflow
from frod.cost.measured import STATES, Measured
from frod.cost.skeleton import Skeleton
from frod.tasks.registry import Package, TaskSpec

if TYPE_CHECKING:
    from frod.backbones.registry import BackboneSpec

TOKENS = {"sentences": 40, "choices": 100}
"""Assumed tokens of a text, padding to its neighbours' length included, where it is not cut shorter."""
FLOAT, TOKEN, PREDICTION, STEP = 4, 4, 64, 100  # bytes on disk: of a number, a token, a row of predictions, of history
FORWARD = Method(kind="full_ft")  # a pass without gradients has the speed of full fine-tuning
EVALUATED = 4  # batches of an evaluation are so many times larger (frod.training.run)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training."""

    task: str
    backbone: str
    method: str
    seed: int
    trial: int | None
    """Which trial of a choice of rates; None: a run."""
    steps: int
    tokens: int
    """Of an example."""
    trained: int
    """Numbers, the head's included."""
    train_seconds: float
    evaluation_seconds: float
    memory_bytes: int
    """At its peak, on the device that trains."""
    disk_bytes: int
    """Of what it leaves."""

    @property
    def hours(self) -> float:
        """Training and evaluation; not the loading."""
        return (self.train_seconds + self.evaluation_seconds) / 3600


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A workflow's jobs, and the bytes of what they start from."""

    jobs: list[Job]
    weights: dict[str, int]
    """By backbone."""
    arrays: dict[tuple[str, str], int]
    """By task and backbone."""
    bases: dict[str, int]
    """By backbone."""

    @property
    def disk_bytes(self) -> int:
        """Of everything."""
        stored = [*self.weights.values(), *self.arrays.values(), *self.bases.values()]
        return sum(stored) + sum(job.disk_bytes for job in self.jobs)


@dataclass(frozen=True, kw_only=True)
class Assumed:
    """What the user has to take on trust, or may say."""

    tokens: int | None = None
    """Of a text; None: TOKENS."""

    def of(self, kind: str) -> int:
        """Tokens of a text of this kind of task."""
        return self.tokens or TOKENS[kind]

    def note(self) -> str:
        """In words."""
        texts = ", ".join(f"{self.of(kind)} of {kind}" for kind in TOKENS)
        return f"Assumed tokens of a text, padding included: {texts}; fewer where the model cuts shorter."


def estimate(
    workflow: Workflow,
    backbones: dict[str, BackboneSpec],
    tasks: dict[str, TaskSpec],
    skeleton: Callable[[str], Skeleton],
    measured: Measured,
    assumed: Assumed,
) -> Estimate:
    """Estimate every job.

    Raises
    ------
    ValueError
        A task does not say how many rows it has.
    """
    sizes = {task: split_sizes(task, tasks[task]) for task, _ in workflow.pairs()}
    lengths = {
        (task, backbone): _length(tasks[task], backbones[backbone], skeleton(backbone), assumed)
        for task, backbone in workflow.pairs()
    }
    jobs = [
        _job(
            run,
            trial,
            skeleton(run.backbone),
            measured,
            sizes=sizes[run.task],
            length=lengths[run.task, run.backbone],
            outputs=tasks[run.task].num_classes,
            threads=workflow.resources[run.folder].threads,
        )
        for run, trial in _runs(workflow)
    ]
    needing = dict.fromkeys(run.backbone for run, _ in _runs(workflow) if run.tuner.kind == "frod")
    return Estimate(
        jobs=jobs,
        weights={name: skeleton(name).itemsize * skeleton(name).body for name in workflow.backbones()},
        arrays={
            pair: sum(sizes[pair[0]].values()) * _example_bytes(skeleton(pair[1]), length)
            for pair, length in lengths.items()
        },
        bases={name: skeleton(name).basis_bytes for name in needing},
    )


def split_sizes(name: str, task: TaskSpec) -> dict[str, int]:
    """Rows of each split of a task, by what the registry says; of a package's data, by reading them."""
    rows = {split: of.rows for split, of in task.rows.items()}
    if not rows and isinstance(task.source, Package):
        from frod.tasks import packages

        rows = {split: len(examples) for split, examples in packages.read(task.source).splits.items()}
    sizes: dict[str, int] = {}
    for split, part in task.parts().items():
        if part.from_ not in rows:
            raise ValueError(
                f"tasks: {name}.rows: lacks {part.from_!r}; give its rows: nothing is fetched to count them"
            )
        drawn = sum(other.rows or 0 for other in task.parts().values() if other.from_ == part.from_)
        sizes[split] = part.rows or rows[part.from_] - drawn
    return sizes


def _runs(workflow: Workflow) -> Iterator[tuple[Run, int | None]]:
    yield from ((run, None) for run in workflow.runs)
    yield from ((trial.run, trial.index) for trial in workflow.trials)


def _length(task: TaskSpec, backbone: BackboneSpec, skeleton: Skeleton, assumed: Assumed) -> int:
    if task.kind == "images":
        return skeleton.image_tokens
    return min(assumed.of(task.kind), backbone.max_length or 0)


def _example_bytes(skeleton: Skeleton, length: int) -> int:
    if skeleton.image is None:
        return TOKEN * length
    height, width = skeleton.image["size"]
    return height * width * skeleton.image["channels"]


def _job(
    run: Run,
    trial: int | None,
    skeleton: Skeleton,
    measured: Measured,
    *,
    sizes: dict[str, int],
    length: int,
    outputs: int,
    threads: int,
) -> Job:
    training = run.training
    half = training.precision == "bfloat16" or (training.precision == "auto" and measured.device == "cuda")
    shape = {"length": length, "device": measured.device, "itemsize": 2 if half else 4}
    examples = min(sizes["train"], training.max_train or sizes["train"])
    steps = max(1, round(training.epochs * math.ceil(examples / training.batch_size)))
    batch = min(examples, training.batch_size)
    full_steps = examples * training.epochs / batch  # the last of an epoch is smaller
    adds = full_steps * skeleton.step(run.tuner, examples=batch, **shape)
    predicted = evaluated(run, sizes, test=trial is None)
    head = skeleton.head(outputs)
    trained = skeleton.trained(run.tuner, run.matched) + head
    tests = sum(size for split, size in sizes.items() if split.startswith("test"))
    left = FLOAT * trained + PREDICTION * (sizes["validation"] + tests) + STEP * steps
    return Job(
        task=run.task,
        backbone=run.backbone,
        method=run.method,
        seed=run.seed,
        trial=trial,
        steps=steps,
        tokens=length,
        trained=trained,
        train_seconds=measured.seconds(adds, run.tuner, batch * length, threads),
        evaluation_seconds=measured.seconds(predicted * skeleton.forward(length), FORWARD, batch * length, threads),
        memory_bytes=_memory(run, skeleton, measured, shape, trained=trained, head=head),
        disk_bytes=left if trial is None else 0,
    )


def evaluated(run: Run, sizes: dict[str, int], *, test: bool) -> int:
    """Examples that are predicted: those watched after each epoch, and the tests at the end."""
    epochs = math.ceil(run.training.epochs)
    tests = sum(size for split, size in sizes.items() if split.startswith("test"))
    if run.protocol == "released":
        return (epochs - 1) * sizes["test"] + tests
    watched = min(sizes["validation"], run.training.max_validation or sizes["validation"])
    return epochs * watched + (tests if test else 0)


def _memory(run: Run, skeleton: Skeleton, measured: Measured, shape: dict, *, trained: int, head: int) -> int:
    """Weights in float32, what trains with gradient and AdamW's moments, what FRoD keeps, activations."""
    training, probe = run.training, run.tuner.kind == "linear_probe"
    held = FLOAT * (skeleton.body + head) + STATES * trained
    if run.tuner.kind == "full_ft" and shape["itemsize"] == 2:
        held += 2 * trained  # autocast keeps a copy of each weight that trains
    if run.tuner.kind == "peft":
        held += FLOAT * (trained - head)
    held += skeleton.kept(run.tuner, examples=training.batch_size, **shape)
    micro = training.batch_size // training.accumulation
    # Nothing is kept for a backward pass where the body does not train: one layer at a time, of a larger batch.
    numbers = EVALUATED * training.batch_size * skeleton.widest if probe else micro * skeleton.width
    each = measured.activation(run.tuner, training.batch_size * shape["length"]) * shape["itemsize"] / FLOAT
    return measured.before + round(held + numbers * shape["length"] * each)
