"""Suite files: where one lies, and what it says together with the suites that it includes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from frod.config import safe_yaml
from frod.config.schema import Faults, Name, StrictModel, check_fields, did_you_mean, validate
from frod.config.settings import PUBLISHED, Resources, Training
from frod.config.suite import Experiment, Suite

MOST_RUNS = 100_000
"""Of a suite: more make Snakemake's plan take hours."""


def written_in(suite: str) -> str:
    """The file of a suite, seen from the folder of params.yaml; `suite` is a name of workflow/suites or a path."""
    return suite if suite.endswith((".yaml", ".yml")) else f"workflow/suites/{suite}.yaml"


def find(suite: str, root: Path, where: str = "params.yaml: suite") -> tuple[str, Path]:
    """Return a suite's name and its file; `suite` is a name of workflow/suites or a path, `where` is for messages."""
    folder = root / "workflow" / "suites"
    if not suite.endswith((".yaml", ".yml")) and (not suite or "/" in suite):
        raise ValueError(
            f"{where}: is {safe_yaml.shown(suite)}; give the name of a file in workflow/suites, or a path to a .yaml"
        )
    path = root / written_in(suite)
    try:
        found = path.is_file()
    except OSError:  # a name that is too long for a file
        found = False
    if not found:
        known = sorted(p.stem for p in folder.glob("*.yaml"))
        raise ValueError(
            f"{where}: there is no {safe_yaml.one_line(str(path))}{did_you_mean(suite, known)} "
            f"(suites: {', '.join(known)})"
        )
    name = validate(_SuiteName, {"suite": path.stem}, str(path)).suite
    if name == PUBLISHED:
        raise ValueError(f"{where}: {name} is the folder of the reports that git keeps; give the suite another name")
    return name, path


class _SuiteName(StrictModel):
    suite: Name


def read(path: Path, root: Path, faults: Faults) -> tuple[Suite, list[tuple[Experiment, str, str]]]:
    """Read a suite; return it with the tasks and backbones of those it includes, and (experiment, file, field) of all.

    An included suite's own training and resources go with its experiments; its methods, seeds and `tune` do not.
    `training` and `resources` that are wrong are left out, and what is wrong with them is kept in `faults`. ValueError,
    with that, where the rest of a file is wrong.
    """
    suite, experiments = _read_one(path, faults)
    tasks, backbones = dict(suite.tasks), dict(suite.backbones)
    for name in suite.include:
        _, other = find(name, root, f"{path}: include")
        included, theirs = _read_one(other, faults)
        if included.include:
            raise ValueError(f"{path}: include: {name} itself includes suites; name those instead")
        tasks, backbones = included.tasks | tasks, included.backbones | backbones
        for experiment, source, field in theirs:
            update = {key: getattr(included, key) | getattr(experiment, key) for key in ("training", "resources")}
            experiments.append((experiment.model_copy(update=update), source, field))
    runs = sum(len(one.tasks) for one, _, _ in experiments) * len(suite.methods) * len(suite.seeds)
    if runs > MOST_RUNS:
        raise ValueError(f"{path}: experiments: are {runs} runs; at most {MOST_RUNS} are planned, so split the suite")
    return suite.model_copy(update={"tasks": tasks, "backbones": backbones}), experiments


def _read_one(path: Path, faults: Faults) -> tuple[Suite, list[tuple[Experiment, str, str]]]:
    """Read one file; return its suite, and (experiment, file, field) of its own experiments."""
    values = safe_yaml.read(path)
    _check_settings(values, path, faults)
    suite = None
    with faults:
        suite = validate(Suite, values, str(path))
    if suite is None:
        faults.check()
    assert suite is not None
    return suite, [(one, str(path), f"experiments.{i}") for i, one in enumerate(suite.experiments)]


def _check_settings(values: dict[str, Any], path: Path, faults: Faults) -> None:
    """Check what is laid over the settings of params.yaml where it stands; take out of `values` what is wrong."""
    experiments = values.get("experiments")
    places: dict[str, Any] = {"": values, "tune.": values.get("tune")}
    places |= {f"experiments.{i}.": one for i, one in enumerate(experiments if isinstance(experiments, list) else [])}
    kinds: dict[str, type[StrictModel]] = {"training": Training, "resources": Resources}
    for place, holder in places.items():
        for name in kinds if isinstance(holder, dict) else ():
            if name not in holder:
                continue
            given = holder.pop(name)
            with faults:
                check_fields(kinds[name], given, str(path), f"{place}{name}")
                holder[name] = given
