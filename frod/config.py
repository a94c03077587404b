"""Typed parameters: what params.yaml and a suite file may say, checked once before any job starts.

Nothing here computes. `load` turns the two files into a `Workflow`: the settings and the list of runs, each run with
every value that its result depends on. That resolved run goes to the training command and into its record, so this
module itself is not among the code whose change makes runs stale.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from frod.entries import Count, Entry, meant, validate

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$", description="lower case letters, digits and _")]
Rate = Annotated[float, Field(gt=0, lt=10)]


class Paths(Entry):
    data: str = "data"
    """Folder of weights, prepared tasks and bases."""
    results: str = "results"
    """Folder of runs: results/SUITE/TASK/BACKBONE/METHOD/seed-N."""
    reports: str = "reports"
    """Folder of reports: reports/SUITE."""
    mirror: str | None = None
    """Folder laid out like the Hub, looked up before it. The environment variable FROD_MIRROR comes first."""


class Basis(Entry):
    ridge: Annotated[float, Field(gt=0)] = 1e-3
    """Ridge pi of the joint decomposition."""
    dtype: Literal["float64", "float32"] = "float64"
    """Arithmetic of the decomposition; the basis itself is stored in float32."""
    parts: Count = 1
    """Jobs that one basis is split into, by kind of layer, to run side by side; it does not change the basis."""

    @property
    def name(self) -> str:
        """Folder of this basis under data/bases/BACKBONE: bases of other settings do not overwrite each other."""
        return f"ridge-{self.ridge:g}-{self.dtype}"


class Split(Entry):
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the validation split (carved from train) and of the training subset."""


class Training(Entry):
    epochs: Annotated[float, Field(gt=0)] = 3
    """Passes over the training examples; fractions are allowed."""
    batch_size: Count = 32
    """Examples of one optimiser step."""
    accumulation: Count = 1
    """Micro-batches that one optimiser step is split into."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Learning rate after the warm-up."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps in which the learning rate rises from zero."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's weight decay; never applied to FRoD's scaling factors, which are the pretrained weight."""
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest norm of the gradient; null: no clipping."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 on a GPU, float32 on a CPU."""
    max_train: Count | None = None
    """At most so many training examples, the same for all methods and seeds (stratified); null: all."""
    max_validation: Count | None = None
    """At most so many validation examples; null: all."""

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> Training:
        if self.batch_size % self.accumulation:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of accumulation {self.accumulation}")
        return self


class Tracking(Entry):
    enabled: bool = True
    """Mirror runs to MLflow."""
    uri: str | None = None
    """Tracking store; null: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db."""


class Resources(Entry):
    threads: Count = 1
    """CPU threads of a training job. Results are bit for bit the same only for the same number."""
    mem_mb: Count = 4000
    """Memory of a training job, in MB, for schedulers."""
    runtime: Count = 240
    """Longest time of a training job, in minutes, for schedulers."""
    gpu: Annotated[int, Field(ge=0)] = 0
    """GPUs of a training job."""
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 120.0
    """Time between checkpoints, in seconds: what a killed training may lose."""


class Params(Entry):
    """params.yaml: every setting with its default."""

    suite: str = "smoke"
    """Name of a file in workflow/suites, or a path to a suite file of your own."""
    paths: Paths = Paths()
    basis: Basis = Basis()
    split: Split = Split()
    training: Training = Training()
    tracking: Tracking = Tracking()
    resources: Resources = Resources()


class Method(Entry):
    """How a model is fine-tuned."""

    kind: Literal["full_ft", "linear_probe", "frod", "peft"]
    label: str | None = None
    """Name in the report; null: the method's own name."""
    sparse_rate: Annotated[float, Field(ge=0, lt=1)] | None = None
    """FRoD: share of the n x n rotation that is trained."""
    plan: Literal["auto", "materialised", "factored", "input_side"] | None = None
    """FRoD: how its layers are computed in training; null: auto, the cheapest for each layer."""
    config: str | None = None
    """peft: name of its configuration class, such as LoraConfig."""
    arguments: dict[str, Any] = {}
    """peft: arguments of that class; the target modules and the head are set for every method alike."""

    @model_validator(mode="after")
    def _only_what_the_kind_needs(self) -> Method:
        if (self.kind == "frod") != (self.sparse_rate is not None):
            raise ValueError(f"sparse_rate is {self.sparse_rate}, kind is {self.kind}: only kind frod has it")
        if self.plan is not None and self.kind != "frod":
            raise ValueError(f"plan is {self.plan}, kind is {self.kind}: only kind frod has it")
        if (self.kind == "peft") != (self.config is not None):
            raise ValueError(f"config is {self.config}, kind is {self.kind}: only kind peft has it")
        if self.arguments and self.kind != "peft":
            raise ValueError(f"arguments are for kind peft, kind is {self.kind}")
        fixed = {"target_modules", "modules_to_save"} & set(self.arguments)
        if fixed:
            raise ValueError(f"arguments: {sorted(fixed)} are set alike for every method; leave them out")
        return self


class Rates(Entry):
    """Learning rates of one method on one experiment."""

    lr: Rate | None = None
    """Of all that is trained outside the head (full_ft, peft)."""
    lr_scale: Rate | None = None
    """FRoD's scaling factors lambda."""
    lr_rotation: Rate | None = None
    """FRoD's rotation S."""
    lr_head: Rate
    """The classifier."""

    @staticmethod
    def fields_of(kind: str) -> set[str]:
        """Which rates a kind of method has."""
        body = {"full_ft": {"lr"}, "peft": {"lr"}, "frod": {"lr_scale", "lr_rotation"}, "linear_probe": set()}
        return body[kind] | {"lr_head"}


class Experiment(Entry):
    tasks: Annotated[list[Name], Field(min_length=1)]
    backbone: Name
    targets: list[str] | None = None
    """Layers that FRoD and peft methods adapt (suffixes of names); null: the architecture's default."""
    training: dict[str, Any] = {}
    """What differs from params.yaml's and the suite's training."""
    rates: dict[Name, Rates]
    """Learning rates by method."""


class Suite(Entry):
    """workflow/suites/SUITE.yaml: tasks x methods x seeds and their budget."""

    title: str
    description: str
    cannot_show: list[str] = []
    """What no result of this suite can prove; printed in the report."""
    rates_chosen: str
    """How the learning rates were chosen; printed in the report."""
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    methods: Annotated[dict[Name, Method], Field(min_length=1)]
    training: dict[str, Any] = {}
    """What differs from params.yaml's training, for all experiments."""
    experiments: Annotated[list[Experiment], Field(min_length=1)]

    @model_validator(mode="after")
    def _every_method_has_its_rates(self) -> Suite:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: {self.seeds} repeats a seed")
        seen: set[tuple[str, str]] = set()
        for i, experiment in enumerate(self.experiments):
            for task in experiment.tasks:
                if (task, experiment.backbone) in seen:
                    raise ValueError(f"experiments.{i}: task {task} on {experiment.backbone} stands twice in the suite")
                seen.add((task, experiment.backbone))
            if set(experiment.rates) != set(self.methods):
                raise ValueError(
                    f"experiments.{i}.rates: has {sorted(experiment.rates)}, the suite's methods are "
                    f"{sorted(self.methods)}: give the rates of each method, and of no other"
                )
            for name, rates in experiment.rates.items():
                given, needed = rates.model_fields_set, Rates.fields_of(self.methods[name].kind)
                if given != needed:
                    raise ValueError(
                        f"experiments.{i}.rates.{name}: has {sorted(given)}, kind {self.methods[name].kind} "
                        f"takes {sorted(needed)}"
                    )
        return self


class Run(Entry):
    """One training: all that its result depends on, but for files and code."""

    suite: Name
    task: Name
    backbone: Name
    method: Name
    seed: int
    tuner: Method
    rates: Rates
    targets: list[str] | None
    training: Training
    split_seed: int

    @property
    def key(self) -> str:
        """Path of the run below the results folder."""
        return f"{self.suite}/{self.task}/{self.backbone}/{self.method}/seed-{self.seed}"

    def resolved(self) -> dict[str, Any]:
        """What the run's result depends on, as plain values: without labels."""
        return self.model_dump(mode="json", exclude={"tuner": {"label"}})


class Workflow(Entry):
    """Everything that the Snakefile needs to know."""

    name: Name
    params: Params
    suite: Suite
    runs: list[Run]

    def pairs(self) -> list[tuple[str, str]]:
        """(task, backbone) of all runs, in the suite's order."""
        return list(dict.fromkeys((run.task, run.backbone) for run in self.runs))

    def backbones(self) -> list[str]:
        """Backbones of all runs, in the suite's order."""
        return list(dict.fromkeys(run.backbone for run in self.runs))

    def targets_of(self, backbone: str) -> list[str] | None:
        """Target layers of a backbone; one suite has one answer for each."""
        return next(run.targets for run in self.runs if run.backbone == backbone)

    def basis_of(self, backbone: str) -> str:
        """Folder name of a backbone's basis: its settings, and its targets where they are not the default."""
        targets = self.targets_of(backbone)
        if targets is None:
            return self.params.basis.name
        return f"{self.params.basis.name}-{hashlib.sha256(json.dumps(targets).encode()).hexdigest()[:8]}"

    def find(self, task: str, backbone: str, method: str, seed: int | str) -> Run:
        """The run of these names; KeyError where the suite has none."""
        for run in self.runs:
            if (run.task, run.backbone, run.method, run.seed) == (task, backbone, method, int(seed)):
                return run
        raise KeyError(f"suite {self.name} has no run {task}/{backbone}/{method}/seed-{seed}")


def load(params: dict[str, Any], root: Path = Path()) -> Workflow:
    """Validate the parameters and the suite they name.

    Parameters
    ----------
    params : dict
        The contents of params.yaml, overrides merged in.
    root : Path
        Folder that params.yaml lies in.

    Raises
    ------
    ValueError
        Names the file, the field and its value, and what would be right.
    """
    checked = validate(Params, params, "params.yaml")
    name, path = _suite_file(checked.suite, root)
    suite = validate(Suite, yaml.safe_load(path.read_text()) or {}, str(path))
    runs = list(_expand(name, checked, suite, str(path)))
    for backbone in {run.backbone for run in runs}:
        if len({json.dumps(run.targets) for run in runs if run.backbone == backbone}) > 1:
            raise ValueError(f"{path}: experiments: {backbone} has two values of targets; one suite, one basis")
    return Workflow(name=name, params=checked, suite=suite, runs=runs)


def _suite_file(suite: str, root: Path) -> tuple[str, Path]:
    folder = root / "workflow" / "suites"
    path = root / suite if suite.endswith((".yaml", ".yml")) else folder / f"{suite}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob("*.yaml"))
        raise ValueError(f"params.yaml: suite: there is no {path}{meant(suite, known)} (suites: {', '.join(known)})")
    return validate(_SuiteName, {"suite": path.stem}, str(path)).suite, path


class _SuiteName(Entry):
    suite: Name


def _expand(name: str, params: Params, suite: Suite, source: str) -> Iterator[Run]:
    for i, experiment in enumerate(suite.experiments):
        merged = params.training.model_dump() | suite.training | experiment.training
        training = validate(Training, merged, source, prefix=f"experiments.{i}.training")
        for task in experiment.tasks:
            for method, tuner in suite.methods.items():
                for seed in suite.seeds:
                    yield Run(
                        suite=name,
                        task=task,
                        backbone=experiment.backbone,
                        method=method,
                        seed=seed,
                        tuner=tuner,
                        rates=experiment.rates[method],
                        targets=experiment.targets,
                        training=training,
                        split_seed=params.split.seed,
                    )
