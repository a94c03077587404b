"""From params.yaml and a suite to the runs and trials of a workflow, each with all that its result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from frod.config import folders, method_names, safe_yaml, suite_files
from frod.config.origins import PARAMS, Given, origin
from frod.config.rates import Box, Rates
from frod.config.safe_yaml import shown
from frod.config.schema import Faults, Name, StrictModel, did_you_mean, from_json, validate
from frod.config.settings import Params, Protocol, Resources, Training
from frod.config.suite import Experiment, Method, Suite

METHODS = Path(__file__).with_name("methods.yaml")


class Run(StrictModel):
    """One training: all that its result depends on, but for files and code."""

    suite: str
    task: Name
    backbone: Name
    method: Name
    seed: int
    protocol: Protocol
    adapter: Method
    matched: Method | None
    """The method whose size the adapter's is matched to."""
    rates: Rates | None
    """Null: those that the trials chose."""
    targets: list[str] | None
    training: Training
    split_seed: int

    @property
    def folder(self) -> str:
        """Folder of all runs of this method on this task, below the results folder."""
        return f"{self.suite}/{self.task}/{self.backbone}/{self.method}"

    @property
    def key(self) -> str:
        """Path of the run below the results folder."""
        return f"{self.folder}/seed-{self.seed}"

    @classmethod
    def of(cls, spec: str) -> Run:
        """The run that a command's --spec says, as `resolved` gives it; ValueError naming the field."""
        return from_json(cls, spec, "--spec")

    def resolved(self) -> dict[str, Any]:
        """What the run's result depends on, as plain values: neither labels nor what only another method is run by."""
        unused = {"label"} if self.matched else {"label", "match_parameters", "size_argument"}
        return self.model_dump(mode="json", exclude={"adapter": unused, "matched": {"label", "plan"}})


class Trial(StrictModel):
    """One training that a choice of learning rates is made by; it does not read test."""

    index: int
    """Of its rates, among those of its method and task; each is tried with every seed of the trials."""
    run: Run
    box: dict[str, list[float]] | None
    """Ranges that its rates were drawn in; null: a grid lists them."""

    @property
    def name(self) -> str:
        """Of its files, in the folder `tune` of its runs."""
        return f"trial-{self.index}-seed-{self.run.seed}"

    @property
    def key(self) -> str:
        """Path of its file below the results folder, without the suffix."""
        return f"{self.run.folder}/tune/{self.name}"


class Workflow(StrictModel):
    """Everything that the Snakefile needs to know."""

    name: str
    """Folder of the suite below results and reports: its name, under the released protocol with /released behind it."""
    params: Params
    suite: Suite
    methods: dict[Name, Method]
    """The suite's methods; an experiment may differ in some settings."""
    runs: list[Run]
    trials: list[Trial]
    resources: dict[str, Resources]
    """Of one training job, by the runs' folder."""
    skipped: list[str] = []
    """Tasks of the suite that are left out because their data are missing."""

    def pairs(self) -> list[tuple[str, str]]:
        """(task, backbone) of all runs, in the suite's order."""
        return list(dict.fromkeys((run.task, run.backbone) for run in self.runs))

    def backbones(self) -> list[str]:
        """Backbones of all runs, in the suite's order."""
        return list(dict.fromkeys(run.backbone for run in self.runs))

    def folders(self, *, tuned: bool = False) -> list[str]:
        """Folders of all methods' runs, or of those whose rates are chosen by trials, in the suite's order."""
        return list(dict.fromkeys(run.folder for run in self.runs if not tuned or run.rates is None))

    def targets_of(self, backbone: str) -> list[str] | None:
        """Target layers of a backbone; one suite has one answer for each."""
        return self._first_on[backbone].targets

    def basis_of(self, backbone: str) -> str:
        """Folder name of a backbone's basis: its settings, and its targets where they are not the default."""
        targets = self.targets_of(backbone)
        if targets is None:
            return self.params.basis.name
        return f"{self.params.basis.name}-{hashlib.sha256(json.dumps(targets).encode()).hexdigest()[:8]}"

    def extraction(self, backbone: str) -> dict[str, Any]:
        """What a backbone's basis depends on besides the weights."""
        return self.params.basis.model_dump(include={"ridge", "dtype"}) | {"targets": self.targets_of(backbone)}

    def without(self, skipped: list[str]) -> Workflow:
        """The workflow without some tasks."""
        left = {
            "runs": [run for run in self.runs if run.task not in skipped],
            "trials": [trial for trial in self.trials if trial.run.task not in skipped],
        }
        return self.model_copy(update=left | {"skipped": skipped})

    def find(self, task: str, backbone: str, method: str, seed: int | str) -> Run:
        """The run of these names; KeyError where the suite has none."""
        return self._by_name[task, backbone, method, int(seed)]

    def trials_of(self, task: str, backbone: str, method: str) -> dict[str, Trial]:
        """The trials that these runs' learning rates are chosen by, by name; none where the suite gives the rates."""
        return self._by_method.get((task, backbone, method), {})

    @cached_property
    def _by_name(self) -> dict[tuple[str, str, str, int], Run]:
        return {(run.task, run.backbone, run.method, run.seed): run for run in self.runs}

    @cached_property
    def _first_on(self) -> dict[str, Run]:
        return {run.backbone: run for run in reversed(self.runs)}

    @cached_property
    def resources_on(self) -> dict[str, list[Resources]]:
        """Resources of the trainings on each backbone, each that differs once."""
        found: dict[str, dict[Resources, None]] = {}
        for folder, backbone in {run.folder: run.backbone for run in self.runs}.items():
            found.setdefault(backbone, {})[self.resources[folder]] = None
        return {backbone: list(each) for backbone, each in found.items()}

    @cached_property
    def _by_method(self) -> dict[tuple[str, str, str], dict[str, Trial]]:
        found: dict[tuple[str, str, str], dict[str, Trial]] = {}
        for trial in self.trials:
            found.setdefault((trial.run.task, trial.run.backbone, trial.run.method), {})[trial.name] = trial
        return found


def load(params: dict[str, Any], root: Path = Path(), given: Given = MappingProxyType({})) -> Workflow:
    """Validate the parameters and the suite they name; ValueError says all at once: where, value, what would be right.

    `params` are the contents of params.yaml, overrides merged in; `root` is the folder that it lies in; `given` says,
    for messages, what of them is from elsewhere.
    """
    for name, values in given.items():
        safe_yaml.checked(values, name)
    checked = validate(Params, safe_yaml.checked(params, PARAMS), partial(origin, given))
    folders.check(checked.paths, root, given)
    name, path = suite_files.find(checked.suite, root, f"{origin(given, ['suite'])}: suite")
    faults = Faults()
    suite, experiments = suite_files.read(path, root, faults)
    methods = {}
    for method in suite.methods:
        with faults:
            methods[method] = _method(method, suite, None, str(path))
    with faults:
        method_names.check_labels(suite.methods, methods, known_methods(), str(path))
    if checked.protocol == "released":
        name = f"{name}/released"
    runs, trials, resources = [], [], {}
    for experiment, file, field in experiments if len(methods) == len(suite.methods) else []:
        # Of an included suite, a fault may lie in either: this one's settings are laid over its own.
        source = file if file == str(path) else f"{path}, with {file}"
        with faults:
            for one in _expand(name, checked, suite, experiment, source, field):
                resources[one.folder] = _resources(checked, suite, experiment, source, field)
                runs += [one.model_copy(update={"seed": seed}) for seed in suite.seeds]
                trials += _trials(one, suite, experiment, source, field)
    drawn = suite.tune.model_fields_set & {"trials", "sampler"}
    if drawn and not any(experiment.box for experiment, *_ in experiments):
        faults.add(f"{path}: tune.{max(drawn)}: is for a box, and no experiment has one; a grid lists its trials")
    with faults:
        _check_unique(runs, path)
    with faults:
        method_names.check_kinds(((run.method, run.adapter) for run in runs), known_methods(), str(path))
    faults.check()
    return Workflow(
        name=name, params=checked, suite=suite, methods=methods, runs=runs, trials=trials, resources=resources
    )


def _expand(name: str, params: Params, suite: Suite, experiment: Experiment, source: str, field: str) -> Iterator[Run]:
    """Yield a run of each task and method, of the suite's first seed."""
    merged = params.training.model_dump() | suite.training | experiment.training
    training = validate(Training, merged, source, prefix=f"{field}.training")
    unknown = set(experiment.methods) - set(suite.methods)
    if unknown and not suite.include:
        raise ValueError(f"{source}: {field}.methods: {sorted(unknown)} are no methods of the suite")
    adapters = {method: _method(method, suite, experiment, source, field) for method in suite.methods}
    tuned = bool(experiment.box or experiment.grid) and params.protocol == "audited"
    _check_rates(adapters, experiment, tuned, source, field, exact=not suite.include)
    for task in experiment.tasks:
        for method, adapter in adapters.items():
            yield Run(
                suite=name,
                task=task,
                backbone=experiment.backbone,
                method=method,
                seed=suite.seeds[0],
                protocol=params.protocol,
                adapter=adapter,
                matched=_matched(adapter, adapters, f"{source}: {field}.methods.{method}"),
                rates=None if tuned else experiment.rates[method],
                targets=experiment.targets,
                training=training,
                split_seed=params.split.seed,
            )


def _resources(params: Params, suite: Suite, experiment: Experiment, source: str, field: str) -> Resources:
    own = suite.resources | experiment.resources
    if "checkpoint_seconds" in own:
        raise ValueError(f"{source}: {field}.resources.checkpoint_seconds: is alike for all; set it in params.yaml")
    return validate(Resources, params.resources.model_dump() | own, source, prefix=f"{field}.resources")


def _trials(run: Run, suite: Suite, experiment: Experiment, source: str, field: str) -> list[Trial]:
    if run.rates is not None:
        return []
    merged = run.training.model_dump() | suite.tune.training
    training = validate(Training, merged, source, prefix="tune.training")
    box, rates = experiment.box.get(run.method), experiment.grid.get(run.method, [])
    if box:
        try:
            rates = box.points(suite.tune.trials, suite.tune.sampler)
        except ValueError as error:
            raise ValueError(f"{source}: {field}.box.{run.method}: {error}") from None
    return [
        Trial(
            index=i,
            run=run.model_copy(update={"seed": seed, "training": training, "rates": one}),
            box=box.ranges if box else None,
        )
        for i, one in enumerate(rates)
        for seed in suite.tune.seeds
    ]


@cache
def known_methods() -> dict[str, dict[str, Any]]:
    """Settings of the methods that a suite can name without saying more, by name."""
    return safe_yaml.read(METHODS)


def _method(name: str, suite: Suite, experiment: Experiment | None, source: str, field: str = "") -> Method:
    """Lay an experiment's settings over the suite's, and those over the method of this name in methods.yaml."""
    known, settings = known_methods(), suite.methods[name]
    more = experiment.methods.get(name, {}) if experiment else {}
    base = known.get(name, {})
    if "kind" not in base | settings:
        meant = did_you_mean(name, list(known))
        raise ValueError(f"{source}: methods.{name}: has no kind, and is none of {', '.join(known)}{meant}")
    kind = settings.get("kind", base.get("kind"))
    if more.get("kind", kind) != kind:
        raise ValueError(
            f"{source}: {field}.methods.{name}.kind: is {more['kind']}, but {kind} in the suite; name another"
        )
    if kind != base.get("kind"):
        base = {}  # a method of another kind under a known name
    where = f"{field}.methods.{name}" if more else f"methods.{name}"
    merged: dict[str, Any] = {}
    for layer in (base, settings, more):
        if not isinstance(layer.get("arguments", {}), dict):
            raise ValueError(f"{source}: {where}.arguments: should be a mapping, is {shown(layer['arguments'])}")
        arguments = merged.get("arguments", {}) | layer.get("arguments", {})
        merged |= layer | ({"arguments": arguments} if arguments else {})
    return validate(Method, merged, source, prefix=where)


def _matched(adapter: Method, adapters: dict[str, Method], where: str) -> Method | None:
    if adapter.match_parameters is None:
        return None
    like = adapters.get(adapter.match_parameters)
    if like is None or like.kind != "frod":
        raise ValueError(
            f"{where}.match_parameters: {adapter.match_parameters!r} is no method of kind frod in the suite"
        )
    return like


def _check_rates(
    adapters: dict[str, Method], experiment: Experiment, tuned: bool, source: str, field: str, *, exact: bool
) -> None:
    """Hold what is said of rates against the methods: each has those of its kind; `exact`: and no others are there."""
    tables: dict[str, Mapping[str, Sequence[Rates | Box]]] = {}
    if experiment.box:
        tables["box"] = {method: [box] for method, box in experiment.box.items()}
    if experiment.grid:
        tables["grid"] = experiment.grid
    if experiment.rates or not tuned:
        tables["rates"] = {method: [rates] for method, rates in experiment.rates.items()}
    for table, given in tables.items():
        if set(given) != set(adapters) if exact else set(adapters) - set(given):
            instead = "" if tuned or len(tables) == 1 else " (the released protocol tries none)"
            raise ValueError(
                f"{source}: {field}.{table}: has {sorted(given)}, the suite's methods are {sorted(adapters)}: give the "
                f"{table} of each method, and of no other{instead}"
            )
        for method, adapter in adapters.items():
            needed = Rates.fields_of(adapter.kind)
            for rates in given[method]:
                if rates.model_fields_set != needed:
                    raise ValueError(
                        f"{source}: {field}.{table}.{method}: has {sorted(rates.model_fields_set)}, kind "
                        f"{adapter.kind} takes {sorted(needed)}"
                    )


def _check_unique(runs: list[Run], path: Path) -> None:
    seen: set[str] = set()
    for run in runs:
        if run.key in seen:
            raise ValueError(f"{path}: experiments: task {run.task} on {run.backbone} stands twice in the suite")
        seen.add(run.key)
    for backbone in {run.backbone for run in runs}:
        if len({json.dumps(run.targets) for run in runs if run.backbone == backbone}) > 1:
            raise ValueError(f"{path}: experiments: {backbone} has two values of targets; one suite, one basis")
