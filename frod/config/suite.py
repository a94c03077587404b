"""workflow/suites/SUITE.yaml: tasks x methods x seeds, their budget and their learning rates."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from frod.config.schema import Name, StrictModel, Words, did_you_mean, not_blank

RESERVED = {"released"}
"""No names of tasks: data/tasks/released holds what that protocol prepares, results/SUITE/released its runs."""


def titled(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry; ValueError where its title is blank. All else of it the registries look at."""
    if isinstance(title := entry.get("title"), str):
        not_blank(title, field="title: ")
    return entry


Rate = Annotated[float, Field(gt=0, lt=10)]
Titled = Annotated[dict[str, Any], AfterValidator(titled)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Method(StrictModel):
    """How a model is fine-tuned."""

    kind: Literal["full_ft", "linear_probe", "frod", "peft"]
    """All weights, the head alone, FRoD, or a method of peft."""
    label: Words | None = None
    """Name in the report, of no other method; null: the method's own name."""
    sparse_rate: Annotated[float, Field(ge=0, lt=1)] | None = None
    """FRoD: share of the n x n rotation that is trained."""
    plan: Literal["auto", "materialised", "factored", "input_side"] | None = None
    """FRoD: how its layers are computed in training; null: auto, the cheapest for each layer."""
    config: str | None = None
    """peft: name of its configuration class, such as LoraConfig."""
    arguments: dict[str, Any] = {}
    """peft: arguments of that class; the target modules and the head are set for every method alike."""
    match_parameters: Name | None = None
    """peft: method of kind frod whose number of trained parameters outside the head this one's size is to come nearest
    to; null: the size that `arguments` say."""
    size_argument: str = "r"
    """peft: the argument that match_parameters chooses."""

    @model_validator(mode="before")
    @classmethod
    def _arguments_stand_below(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("kind") == "peft":
            for name in values.keys() - cls.model_fields.keys():
                close = did_you_mean(name, list(cls.model_fields))
                hint = close or f"; an argument of {values.get('config')} stands below: arguments: {{{name}: ...}}"
                raise ValueError(f"{name}: unknown key{hint}")
        return values

    @model_validator(mode="after")
    def _only_what_the_kind_needs(self) -> Method:
        if (self.kind == "frod") != (self.sparse_rate is not None):
            raise ValueError(
                f"sparse_rate is {self.sparse_rate}, kind is {self.kind}: kind frod needs it, no other has it"
            )
        if self.plan is not None and self.kind != "frod":
            raise ValueError(f"plan is {self.plan}, kind is {self.kind}: only kind frod has it")
        if (self.kind == "peft") != (self.config is not None):
            raise ValueError(f"config is {self.config}, kind is {self.kind}: kind peft needs it, no other has it")
        for name in ("arguments", "match_parameters"):
            if getattr(self, name) and self.kind != "peft":
                raise ValueError(f"{name} are for kind peft, kind is {self.kind}")
        fixed = {"target_modules", "modules_to_save", "layers_to_transform", "layers_pattern"} & set(self.arguments)
        if fixed:
            raise ValueError(f"arguments: {sorted(fixed)} are set alike for every method; leave them out")
        return self


class Rates(StrictModel):
    """Learning rates of one method on one experiment."""

    lr: Rate | None = None
    """Of all that is trained outside the head (full_ft, peft)."""
    lr_scale: Rate | None = None
    """FRoD's scaling factors lambda."""
    lr_rotation: Rate | None = None
    """FRoD's rotation S."""
    lr_head: Rate | None = None
    """The classifier; a generation and a choice by likelihood have none to train."""

    @staticmethod
    def fields_of(kind: str) -> set[str]:
        """Which rates a kind of method has."""
        body = {"full_ft": {"lr"}, "peft": {"lr"}, "frod": {"lr_scale", "lr_rotation"}, "linear_probe": set()}
        return body[kind] | {"lr_head"}


class Tune(StrictModel):
    """How the audited protocol chooses learning rates: one trial per entry of the grid, judged on validation."""

    seed: Seed = 100
    """Seed of the trials; none of the suite's."""
    training: dict[str, Any] = {}
    """What differs from the runs' training, for the trials of all methods."""


class Experiment(StrictModel):
    tasks: Annotated[list[Name], Field(min_length=1)]
    """Names of registered tasks, or of the suite's own."""
    backbone: Annotated[Name, Field(description="Name of a registered model, or of one of the suite's own.")]
    targets: list[str] | None = None
    """Layers that FRoD and peft methods adapt (suffixes of names); null: the architecture's default."""
    training: dict[str, Any] = {}
    """What differs from params.yaml's and the suite's training."""
    resources: dict[str, Any] = {}
    """What differs from params.yaml's and the suite's resources."""
    methods: dict[Name, dict[str, Any]] = {}
    """What differs in the suite's methods, such as FRoD's sparse rate."""
    rates: dict[Name, Rates] = {}
    """Learning rates by method: used by the released protocol, and by the audited one where there is no grid."""
    grid: dict[Name, list[Rates]] = {}
    """Learning rates to try, by method: the same number for every method."""

    @model_validator(mode="after")
    def _comparable(self) -> Experiment:
        if not self.rates and not self.grid:
            raise ValueError("rates: is missing; give rates, or a grid of rates to choose from")
        lengths = {method: len(trials) for method, trials in self.grid.items()}
        if len(set(lengths.values())) > 1 or 0 in lengths.values():
            raise ValueError(f"grid: has {lengths} trials; methods are tuned alike, with the same number for each")
        for method, trials in self.grid.items():
            if any(trial in trials[:i] for i, trial in enumerate(trials)):
                raise ValueError(f"grid.{method}: repeats a trial")
        return self


class Suite(StrictModel):
    title: Words
    """Heading of the report."""
    description: str
    """What is compared and why, in a sentence or two below it."""
    cannot_show: list[str] = []
    """What no result of this suite can prove; printed in the report."""
    rates_chosen: str | None = None
    """How the learning rates in `rates` were chosen; printed in the report."""
    margin: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Points: FRoD matches full fine-tuning where its mean is shown to lie less than this below it. Fix it before the
    results are seen."""
    seeds: Annotated[list[Seed], Field(min_length=1)]
    """Each method trains once with each. Differences are paired by seed; an interval needs two, a verdict more."""
    methods: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]
    """By name; what is not said is taken from the method of that name in frod/config/methods.yaml."""
    tune: Tune = Tune()
    """How rates are chosen where experiments have a grid."""
    training: dict[str, Any] = {}
    """What differs from params.yaml's training, for all experiments."""
    resources: dict[str, Any] = {}
    """What differs from params.yaml's resources, for all experiments."""
    tasks: dict[Name, Titled] = {}
    """Tasks of your own, written as those in frod/tasks/registry.yaml."""
    backbones: dict[Name, Titled] = {}
    """Models of your own, written as those in frod/backbones/registry.yaml."""
    skip_missing: bool = False
    """Leave out the tasks that the mirror does not have, and list them; else a missing one is an error."""
    include: list[Name] = []
    """Suites whose experiments, tasks and backbones are part of this one."""
    experiments: list[Experiment] = []
    """Which tasks on which model, and at which rates."""

    @model_validator(mode="after")
    def _consistent(self) -> Suite:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: {self.seeds} repeats a seed")
        if self.tune.seed in self.seeds:
            raise ValueError(
                f"tune.seed: {self.tune.seed} is one of the seeds; rates are chosen on a seed of their own"
            )
        if not self.experiments and not self.include:
            raise ValueError("experiments: is missing; give experiments, or suites to include")
        if RESERVED & self.tasks.keys():
            raise ValueError(f"tasks: {sorted(RESERVED)} is the name of a protocol's folder; choose another")
        return self
