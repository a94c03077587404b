"""workflow/suites/SUITE.yaml: tasks x methods x seeds, their budget and their learning rates."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from frod.config.rates import Box, Rates, Tune
from frod.config.schema import Name, Seed, StrictModel, Words, did_you_mean, not_blank
from frod.config.settings import BasisKind

RESERVED = {"released"}
"""No names of tasks: data/tasks/released holds what that protocol prepares, results/SUITE/released its runs."""


def titled(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry; ValueError where its title is blank. All else of it the registries look at."""
    if isinstance(title := entry.get("title"), str):
        not_blank(title, field="title: ")
    return entry


Titled = Annotated[dict[str, Any], AfterValidator(titled)]


Group = Literal["scale", "rotation"]


class MethodBasis(StrictModel):
    """The basis that a method of kind frod trains on."""

    kind: BasisKind = "shared"
    """shared: the paper's, one for each kind of layer. layer_svd: each layer's own singular vectors. random: one
    orthogonal matrix for each kind of layer, drawn by its name and width."""
    ridge: Annotated[float, Field(gt=0)] | None = None
    """Of kind shared; null: params.yaml's."""

    @model_validator(mode="after")
    def _ridge_of_a_shared_one(self) -> MethodBasis:
        if self.ridge is not None and self.kind != "shared":
            raise ValueError(f"ridge is {self.ridge:g}, kind is {self.kind}: only kind shared has it; leave it out")
        return self


class Method(StrictModel):
    """How a model is fine-tuned."""

    kind: Literal["full_ft", "linear_probe", "frod", "peft"]
    """All weights, the head alone, FRoD, or a method of peft; needed, but for methods of methods.yaml."""
    label: Words | None = None
    """Name in the report, of no other method; null: the method's own name."""
    sparse_rate: Annotated[float, Field(ge=0, lt=1)] | None = None
    """FRoD: share of the n x n rotation that is trained; needed, but for a method called frod, which has 0.01."""
    plan: Literal["auto", "materialised", "factored", "input_side"] | None = None
    """FRoD: how its layers are computed in training; null: auto, the cheapest for each layer."""
    basis: MethodBasis | None = None
    """FRoD: the basis it trains on; null: shared, with params.yaml's ridge."""
    freeze: list[Group] = []
    """FRoD: what stays as it starts: scale (lambda) or rotation (S). It has no rate and is not counted."""
    pattern_seed: Seed | None = None
    """FRoD: what the places of S are drawn by, for all seeds alike; null: each run's own seed."""
    config: str | None = None
    """peft: name of its configuration class, such as LoraConfig; needed, but for methods of methods.yaml."""
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
        for name in ("plan", "basis", "freeze", "pattern_seed"):
            if getattr(self, name) not in (None, []) and self.kind != "frod":
                raise ValueError(f"{name} is {getattr(self, name)}, kind is {self.kind}: only kind frod has it")
        if (self.kind == "peft") != (self.config is not None):
            raise ValueError(f"config is {self.config}, kind is {self.kind}: kind peft needs it, no other has it")
        for name in ("arguments", "match_parameters"):
            if getattr(self, name) and self.kind != "peft":
                raise ValueError(f"{name} are for kind peft, kind is {self.kind}")
        fixed = {"target_modules", "modules_to_save", "layers_to_transform", "layers_pattern"} & set(self.arguments)
        if fixed:
            raise ValueError(f"arguments: {sorted(fixed)} are set alike for every method; leave them out")
        return self

    @model_validator(mode="after")
    def _something_to_train(self) -> Method:
        if len(set(self.freeze)) != len(self.freeze):
            raise ValueError(f"freeze: {self.freeze} repeats a group")
        if self.kind == "frod" and not self.groups:
            raise ValueError(
                f"freeze is {self.freeze}, sparse_rate is {self.sparse_rate:g}: nothing is left to train but the head; "
                "freeze one of scale and rotation, or take kind linear_probe"
            )
        return self

    @property
    def groups(self) -> tuple[Group, ...]:
        """What it trains outside the head, of kind frod; else none."""
        if self.kind != "frod":
            return ()
        empty = set(self.freeze) | (set() if self.sparse_rate else {"rotation"})
        return tuple(group for group in get_args(Group) if group not in empty)

    def places_drawn_by(self, seed: int) -> int:
        """Of kind frod, the seed of the places of S; `seed` is that of a run's adapter."""
        return seed if self.pattern_seed is None else self.pattern_seed

    @property
    def rates(self) -> set[str]:
        """Which rates it has: one of each group that it trains."""
        body = {"full_ft": {"lr"}, "peft": {"lr"}, "frod": {f"lr_{group}" for group in self.groups}}
        return body.get(self.kind, set()) | {"lr_head"}


class Experiment(StrictModel):
    tasks: Annotated[list[Name], Field(min_length=1)]
    """Names of registered tasks, or of the suite's own, each once on a model: another budget takes another name."""
    backbone: Annotated[Name, Field(description="Name of a registered model, or of one of the suite's own.")]
    targets: list[str] | None = None
    """Layers that FRoD and peft methods adapt (suffixes of names), the same in all experiments on a model; null: the
    architecture's default."""
    training: dict[str, Any] = {}
    """What differs from params.yaml's and the suite's training."""
    resources: dict[str, Any] = {}
    """What differs from params.yaml's and the suite's resources."""
    methods: dict[Name, dict[str, Any]] = {}
    """What differs in the suite's methods, such as FRoD's sparse rate."""
    rates: dict[Name, Rates] = {}
    """Learning rates by method: used by the released protocol, and by the audited one where there is no box or grid."""
    box: dict[Name, Box] = {}
    """Ranges of learning rates to try, by method: in each, `tune.trials` points are drawn."""
    grid: dict[Name, list[Rates]] = {}
    """Learning rates to try, by method, in place of a box: the same number for every method."""

    @model_validator(mode="after")
    def _comparable(self) -> Experiment:
        if not (self.rates or self.box or self.grid):
            raise ValueError("rates: is missing; give rates, or a box or a grid of rates to choose from")
        if self.box and self.grid:
            raise ValueError("box and grid: are both there; trials are drawn in a box or listed in a grid, so keep one")
        spans = {f"{method}.{name}": span for method, box in self.box.items() for name, span in box.ratios.items()}
        if spans and not math.isclose(min(spans.values()), max(spans.values())):
            said = ", ".join(f"{name} x {span:.4g}" for name, span in spans.items())
            raise ValueError(f"box: spans {said}, highest over lowest; give each rate outside the head the same")
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
    """Each method trains once with each. Differences are paired by seed; an interval over
    them needs two; docs/verdicts.md has what more of them see."""
    methods: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]
    """By name; what is not said is taken from the method of that name in frod/config/methods.yaml."""
    tune: Tune = Tune()
    """How rates are chosen where experiments have a box or a grid."""
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
    """Suites whose experiments, with their training and resources, tasks and backbones are part of this one; methods,
    seeds, tune and margin are this one's. They include none themselves."""
    experiments: list[Experiment] = []
    """Which tasks on which model, and at which rates."""

    @model_validator(mode="after")
    def _consistent(self) -> Suite:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: {self.seeds} repeats a seed")
        if len(set(self.tune.seeds)) != len(self.tune.seeds):
            raise ValueError(f"tune.seeds: {self.tune.seeds} repeats a seed")
        if both := set(self.tune.seeds) & set(self.seeds):
            raise ValueError(f"tune.seeds: {sorted(both)} is among the seeds; rates are chosen on seeds of their own")
        if not self.experiments and not self.include:
            raise ValueError("experiments: is missing; give experiments, or suites to include")
        if RESERVED & self.tasks.keys():
            raise ValueError(f"tasks: {sorted(RESERVED)} is the name of a protocol's folder; choose another")
        return self
