"""What a suite will cost, before it runs: hours, memory and disk, from shapes and one measured speed.

Nothing is trained or fetched. Parameters and multiply-adds are counted on models without numbers, on the meta device.
Every method's multiply-adds are taken at the speed that bench/ measured of full fine-tuning;
tests/unit/training/test_estimate.py says how far that is off.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from frod import backbones
from frod.backbones import architecture
from frod.config import Method, Run, Workflow
from frod.tasks import images
from frod.tasks.registry import Local, Package, TaskSpec

if TYPE_CHECKING:
    from frod.backbones.registry import BackboneSpec

TOKENS = {"sentences": 40, "choices": 100, "generation": 200}
"""Assumed tokens of a text, padding included, where it is not cut shorter."""
PASSES = {"full_ft": 3, "peft": 2, "linear_probe": 1}
"""Multiply-adds of a step over those of its forward pass: all of the weights' gradients, none, no backward pass."""
KEPT = {"full_ft": 1.4, "frod": 1.4, "peft": 2.3, "linear_probe": 0}
"""Numbers kept for the backward pass, over those that go in or out of linear layers: measured by bench/."""
PROCESS = 6e8
"""Bytes of a process on the CPU that has no model yet: measured by bench/."""
TOKEN, PREDICTION, STEP = 4, 64, 100  # bytes on disk of a token, a row of predictions, a step of history
BENCHED = {"clip-vit-b32": "clip_vit_b32", "roberta-large": "roberta_large", "llama-2-7b": "llama2_7b"}
"""The registry's names of the shapes that bench/ measures."""


class Skeleton:
    """A backbone without numbers; the folder `models` of weights is read where its entry has no architecture.

    `causal`: with a language model's own head.
    """

    def __init__(
        self, name: str, spec: BackboneSpec, models: Path, targets: list[str] | None = None, *, causal: bool = False
    ) -> None:
        from torch import nn

        if spec.built_as is None and not (models / name).is_dir():
            raise ValueError(
                f"backbones: {name}.architecture: is missing, and there is no {models / name} to read it from; "
                "name the library's model and the arguments of its configuration, or run `frod backbone`"
            )
        if spec.built_as:
            self.model = architecture.build(spec, causal=causal)
        else:
            self.model = backbones.skeleton(models / name, causal=causal)
        self.image, self.max_length, self.targets, self.itemsize = None, spec.max_length or 0, targets, 4
        if not spec.max_length:
            known = spec.built_as is not None
            self.image = architecture.image_inputs(self.model, spec) if known else backbones.input_facts(models / name)
        if spec.built_as and spec.built_as.arguments.get("dtype") in ("float16", "bfloat16"):
            self.itemsize = 2
        self._forward: dict[int, int] = {}
        self._at: dict[int, Skeleton] = {}
        head = backbones.head_modules(self.model)
        body = [child for name, child in self.model.named_children() if name not in head]
        linear = [m for child in body for m in child.modules() if isinstance(m, nn.Linear)]
        self.width = sum(m.in_features + m.out_features for m in linear)
        self.heads = [p for name in head for p in self.model.get_submodule(name).parameters()]
        self.body = sum(p.numel() for p in self.model.parameters()) - sum(p.numel() for p in self.heads)

    def head(self, outputs: int) -> int:
        """Parameters of a head of so many outputs; the skeleton's has two."""
        return sum(p.numel() * outputs // 2 if p.shape[0] == 2 else p.numel() for p in self.heads)

    def at(self, edge: int | None) -> Skeleton:
        """The same for images of another edge, in pixels; null: as it is."""
        if edge is None or self.image is None:
            return self
        if edge not in self._at:
            other = self._at[edge] = copy(self)
            other.image, other._forward = images.at_size(self.image, edge), {}
        return self._at[edge]

    def length(self, kind: str) -> int:
        """Tokens of an example of a kind of task."""
        return min(TOKENS[kind], self.max_length) if self.image is None else backbones.tokens(self.model, self.image)

    def forward(self, length: int) -> int:
        """Multiply-adds of one example of so many tokens, forwards, attention included."""
        if length not in self._forward:
            self._forward[length] = self._counted(length)
        return self._forward[length]

    def _counted(self, length: int) -> int:
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        with torch.no_grad(), torch.device("meta"), FlopCounterMode(display=False) as counter:
            if self.image is None:
                self.model(input_ids=torch.ones(1, length, dtype=torch.long))
            else:
                self.model(torch.zeros(1, self.image["channels"], *self.image["size"]))
        return counter.get_total_flops() // 2

    def step(self, method: Method, examples: int, length: int, device: str, itemsize: int) -> tuple[int, int]:
        """Multiply-adds of an optimiser step, and bytes of what FRoD keeps: V, its inverse, U and W'."""
        forward = examples * self.forward(length)
        if method.sparse_rate is None:
            return PASSES[method.kind] * forward, 0
        rows = self.plan(method, examples * length, device, itemsize)
        # Besides the adapted layers, the frozen rest: forwards, and back to its inputs.
        adds = sum(row.multiply_adds for row in rows) + 2 * (forward - sum(row.full for row in rows) // 3)
        return adds, sum(row.basis_bytes + row.weight_bytes for row in rows)

    def plan(self, method: Method, tokens: int = 1, device: str = "cpu", itemsize: int = 4):
        """How FRoD's layers are computed: rows of `frod.method.plan.plan_model`."""
        from frod.method.plan import check, plan_model

        return plan_model(
            self.model,
            self.targets,
            sparse_rate=(method.sparse_rate or 0.0) if "rotation" in method.groups else 0.0,
            plan=check(method.plan or "auto"),
            tokens=tokens,
            device=device,
            itemsize=itemsize,
            basis=method.basis.kind if method.basis else "shared",
        )

    def trained(self, method: Method, matched: Method | None = None) -> int:
        """Numbers that a method trains outside the head."""
        from frod.method.pattern import trained
        from frod.training.methods import size

        if method.sparse_rate is not None:
            rows = self.plan(method)
            return sum(row.layers * trained(row.n, method.sparse_rate, method.freeze) for row in rows)
        if method.kind != "peft":
            return self.body if method.kind == "full_ft" else 0
        sized = method if matched is None else size.match(self.model, method, matched, self.targets).adapter
        return size.count(sized, size.shapes_of(self.model, self.targets))


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """Trainings that differ in seed or rates alone: the runs of a method on a task, or the trials of its rates."""

    task: str
    backbone: str
    method: str
    trial: bool
    count: int
    steps: int
    """Of each, as all below."""
    trained: int
    train_seconds: float
    hours: float
    memory_bytes: float
    disk_bytes: int


def measured_speed(results: Path, device: str, known: dict[str, BackboneSpec]) -> tuple[float, str]:
    """Multiply-adds a second of full fine-tuning, of a GPU or one CPU thread, by bench/results; and where that was."""
    speeds = {}
    for path in sorted(results.glob(f"step-{device}-*.json")):
        record = json.loads(path.read_text())
        setting, machine = record["setting"], record["machine"]
        if setting["model"] in BENCHED and setting["layers"] == setting["layers_of_model"]:
            model = Skeleton(BENCHED[setting["model"]], known[BENCHED[setting["model"]]], Path())
            length = setting["length"] if model.image is None else 0
            adds = 3 * setting["batch"] * setting["accumulation"] * model.forward(length)
            seconds = record["methods"]["full_ft"]["median"] * (machine["threads"] if device == "cpu" else 1)
            where = machine["processor"] if device == "cpu" else machine["gpu"]["name"]
            speeds[f"{path.stem} on {where}"] = adds / seconds
    if not speeds:
        raise ValueError(
            f"--device {device}: {results} has no step-{device}-*.json of a whole model, so no speed is known; measure "
            f"with `make bench{'-gpu' if device == 'cuda' else ''}`, or assume one with --tflops"
        )
    return median(speeds.values()), ", ".join(speeds)


def split_sizes(name: str, task: TaskSpec) -> dict[str, int]:
    """Rows of each split of a task, by what the registry says; of a package's and one's own data, by reading them."""
    rows = {split: of.rows for split, of in task.rows.items()}
    if not rows and isinstance(task.source, Package):
        from frod.tasks import packages

        rows = {split: len(examples) for split, examples in packages.read(task.source).splits.items()}
    elif not rows and isinstance(task.source, Local):
        from frod.tasks import prepare

        with prepare.opened(task, seed=0) as source:
            rows = {split: len(examples) for split, examples in source.splits.items()}
    sizes: dict[str, int] = {}
    for split, part in task.parts().items():
        if part.from_ not in rows:
            raise ValueError(
                f"tasks: {name}.rows: lacks {part.from_!r}; give its rows: nothing is fetched to count them"
            )
        drawn = sum(other.rows or 0 for other in task.parts().values() if other.from_ == part.from_)
        sizes[split] = part.rows or rows[part.from_] - drawn
    return sizes


def estimate(
    workflow: Workflow, models: dict[str, Skeleton], tasks: dict[str, TaskSpec], *, speed: float, device: str
) -> Iterator[Jobs]:
    """Estimate a workflow's trainings at a speed in multiply-adds a second, of a GPU or of one CPU thread."""
    alike: dict[tuple[str, bool], list[Run]] = {}
    for run, trial in [(run, False) for run in workflow.runs] + [(trial.run, True) for trial in workflow.trials]:
        alike.setdefault((run.folder, trial), []).append(run)
    sizes_of = {name: split_sizes(name, tasks[name]) for name in {run.task for run in workflow.runs}}
    for (folder, trial), runs in alike.items():
        run, training, adapter = runs[0], runs[0].training, runs[0].adapter
        task, sizes = tasks[run.task], sizes_of[run.task]
        model = models[run.backbone].at(task.image_size)
        length = model.length(task.kind)
        itemsize = 2 if training.precision == "bfloat16" or (training.precision == "auto" and device == "cuda") else 4
        examples = min(sizes["train"], training.max_train or sizes["train"])
        steps = max(1, round(training.epochs * math.ceil(examples / training.batch_size)))
        batch = min(examples, training.batch_size)
        adds, kept = model.step(adapter, batch, length, device, itemsize)
        in_all = examples * training.epochs / batch * adds  # the last step of an epoch is smaller
        tests = sum(size for split, size in sizes.items() if split.startswith("test"))
        watched = min(sizes["validation"], training.max_validation or sizes["validation"])
        at_end = 0 if trial else tests
        if run.protocol == "released":  # it watches test, and reads it no further after the last epoch
            watched, at_end = sizes["test"], tests - sizes["test"]
        predicted = math.ceil(training.epochs) * watched + at_end
        row, passed = PREDICTION, model.forward(length)
        if task.max_new_tokens is not None:  # the right answer's loss, the prompt once more, and each new token
            row += TOKEN * task.max_new_tokens
            passed = 2 * passed + model.forward(task.max_new_tokens)
        if task.scoring == "likelihood":  # each answer by itself
            row, passed = PREDICTION * task.num_classes, passed * task.num_classes
        a_second = speed * (workflow.resources[folder].threads if device == "cpu" else 1)
        head = model.head(task.num_classes)
        trained = model.trained(adapter, run.matched) + head
        passing = KEPT[adapter.kind] * model.width * length * training.batch_size // training.accumulation
        # Weights, gradients and AdamW's moments in float32; autocast keeps a copy of each weight that trains.
        held = 4 * (model.body + head) + (14 if adapter.kind == "full_ft" and itemsize == 2 else 12) * trained + kept
        left = 0 if trial else 4 * trained + row * tests  # a trial keeps no adapter, and predicts no test
        yield Jobs(
            task=run.task,
            backbone=run.backbone,
            method=run.method,
            trial=trial,
            count=len(runs),
            steps=steps,
            trained=trained,
            train_seconds=in_all / a_second,
            hours=(in_all + predicted * passed) / a_second / 3600,
            memory_bytes=held + passing * itemsize + (PROCESS if device == "cpu" else 0),
            disk_bytes=left + row * sizes["validation"] + STEP * steps,
        )


def stored(workflow: Workflow, models: dict[str, Skeleton], tasks: dict[str, TaskSpec]) -> dict[str, int]:
    """Bytes on disk of what the trainings start from."""
    arrays = 0
    for task, backbone in workflow.pairs():
        model = models[backbone].at(tasks[task].image_size)
        image, length = model.image, model.length(tasks[task].kind)
        each = TOKEN * length if image is None else math.prod(image["size"]) * image["channels"]
        rows_each = tasks[task].num_classes if tasks[task].scoring == "likelihood" else 1
        arrays += each * rows_each * sum(split_sizes(task, tasks[task]).values())
    of = {(run.backbone, one.name): run for run in workflow.runs if (one := workflow.extraction(run))}
    rows = [row for run in of.values() for row in models[run.backbone].plan(run.adapter)]
    return {
        "weights": sum(model.itemsize * model.body for model in models.values()),
        "prepared arrays": arrays,
        "bases": sum(row.basis_bytes + 4 * row.layers * row.n for row in rows),  # V, its inverse, each lambda_0
    }
