"""What suite and parameters say, field by field, and what of it was changed after the first run of a study."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from frod.config import Method, Suite, Workflow, load, safe_yaml
from frod.config.suite_files import written_in
from frod.provenance import history
from frod.provenance.artefacts import first_line

# Of params.yaml: which suite, where things lie, how jobs are run. Chosen per call.
PER_CALL = ("suite", "protocol", "paths", "tracking", "resources", "cluster")
WORDING = re.compile(
    r"title|description|cannot_show|rates_chosen|methods\.\w+\.label|(tasks|backbones)\.\w+\.(title|licence)"
    r"|order of \w+"
)
# Tells by the runs and trials that it plans, and by nothing else.
PLANNING = re.compile(
    r"(seeds|methods|tune|training|experiments|include|skip_missing|params\.training|params\.split)(\.|$)"
)
SCHEMA, METHODS = "workflow/schemas/suite.schema.json", "frod/config/methods.yaml"


class Change(NamedTuple):
    """A field of the suite, or of params.yaml, that says something else than it did."""

    field: str
    then: Any
    """None: nothing."""
    now: Any

    @property
    def is_wording(self) -> bool:
        """Whether it changes what a reader reads, and neither a figure nor a verdict."""
        return WORDING.fullmatch(self.field) is not None

    @property
    def is_of_plan(self) -> bool:
        """Whether it changes which runs there are, or how they are made."""
        return self.field.startswith("plan") or (not self.is_wording and PLANNING.match(self.field) is not None)


def changes(then: Workflow, now: Workflow) -> list[Change]:
    """All that suite and parameters say otherwise, but for what leaves the planned runs as they were."""
    found = [Change(*one) for one in _differing(_said(then), _said(now))]
    plans = plan(then), plan(now)
    if plans[0] == plans[1]:
        found = [one for one in found if one.is_wording or not PLANNING.match(one.field)]
    elif not any(PLANNING.match(one.field) for one in found):  # an included suite
        found.append(Change(*next(_differing(*plans, "plan"))))
    orders = zip(("methods", "seeds", "tasks"), _orders(then), _orders(now))
    turned = [(name, *both) for name, *both in orders if both[0] != both[1] and sorted(both[0]) == sorted(both[1])]
    return found + [Change(f"order of {name}", *both) for name, *both in turned]


def plan(workflow: Workflow) -> dict[str, Any]:
    """What the result of each run and trial depends on."""
    trials = {one.key: one.run.resolved() for one in workflow.trials}
    return {run.key: run.resolved() for run in workflow.runs} | trials


def sources(workflow: Workflow) -> tuple[str, ...]:
    """The files that say it: params.yaml, suites, and those that have the defaults."""
    return ("params.yaml", "workflow/suites", SCHEMA, METHODS, suite_file(workflow))


def suite_file(workflow: Workflow) -> str:
    """The suite's own file."""
    return written_in(workflow.params.suite)


def as_of(tree: Path, workflow: Workflow) -> Workflow | None:
    """What params.yaml and suite in another folder plan, under this call's choices; None where they are not there."""
    file, params = (tree / suite_file(workflow)).resolve(), tree / "params.yaml"
    if not params.is_file() or not file.is_file() or not file.is_relative_to(tree.resolve()):
        return None
    chosen = workflow.params.model_dump(mode="json", include=set(PER_CALL))
    then = load(safe_yaml.read(params) | chosen, tree).without(workflow.skipped)
    suite_then = then.suite.model_copy(update=_defaults(tree, then.suite))
    return then.model_copy(update={"suite": suite_then, "methods": _methods(tree, then)})


def _defaults(tree: Path, suite: Suite) -> dict[str, Any]:
    """Of the single values that a suite leaves out, the defaults of its time: frod.config here may have others."""
    schema = tree / SCHEMA
    known = _properties(schema.read_text("utf-8")) if schema.is_file() else {}
    values = {name: known[name].get("default") for name in known.keys() - suite.model_fields_set}
    return {name: value for name, value in values.items() if isinstance(value, bool | int | float | str)}


@cache  # most commits have the same
def _properties(schema: str) -> Mapping[str, Any]:
    return safe_yaml.from_json(schema, SCHEMA).get("properties", {})


def _methods(tree: Path, then: Workflow) -> dict[str, Method]:
    """The methods under the labels of their time, where the suite gives none."""
    known = safe_yaml.read(tree / METHODS) if (tree / METHODS).is_file() else {}
    labels = {
        name: known[name].get("label")
        for name, given in then.suite.methods.items()
        if "label" not in given and name in known
    }
    return {
        name: method.model_copy(update={"label": labels.get(name, method.label)})
        for name, method in then.methods.items()
    }


def since_first_run(
    records: Mapping[Any, Mapping[str, Any]], workflow: Workflow, project: Path = Path()
) -> dict[str, Any]:
    """What was changed after the first run was trained: by its commit, as git has it in the project's folder.

    Returns
    -------
    dict
        `commit` and `changes`, each of these a `Change` by its fields; or `unknown`, why git cannot tell.
    """
    first = min(records, key=lambda key: (str(records[key]["started"]), key))
    made_by = records[first]["code"]
    commit = str(made_by.get("git_commit") or "")
    if not commit:
        return {"unknown": "the first run was made outside of git"}
    if made_by.get("git_dirty"):
        return {"unknown": f"the first run was made with files that commit {commit[:12]} does not have"}
    with tempfile.TemporaryDirectory(prefix="frod-commit-") as folder:
        with contextlib.chdir(project):
            tree = history.unpacked(commit, sources(workflow), Path(folder))
        if tree is None:
            return {"unknown": f"there is no commit {commit[:12]} here, of which the first run is"}
        try:
            then = as_of(tree, workflow)
        except ValueError as error:
            said = first_line(error).replace(f"{tree}/", "")
            return {"unknown": f"commit {commit[:12]}, of which the first run is, cannot be read here ({said})"}
    if then is None:
        return {"unknown": f"commit {commit[:12]}, of which the first run is, does not have the suite"}
    return {"commit": commit, "changes": [one._asdict() for one in changes(then, workflow)]}


def _said(workflow: Workflow) -> dict[str, Any]:
    """Suite and parameters as plain values, without what is chosen per call, nor tasks and models that no run uses."""
    of_jobs: Any = {"resources": True, "experiments": {"__all__": {"resources"}}}
    suite = workflow.suite.model_dump(mode="json", exclude=of_jobs)
    used = {name for pair in workflow.pairs() for name in pair}
    used |= {str(suite["backbones"][name].get("pretrained_on")) for name in used & suite["backbones"].keys()}
    for kind in ("tasks", "backbones"):
        suite[kind] = {name: entry for name, entry in suite[kind].items() if name in used}
    apart: Any = dict.fromkeys(PER_CALL, True) | {"basis": {"parts"}}
    methods = {name: method.model_dump(mode="json") for name, method in workflow.methods.items()}
    return suite | {"methods": methods, "params": workflow.params.model_dump(mode="json", exclude=apart)}


def _orders(workflow: Workflow) -> tuple[list[Any], ...]:
    return list(workflow.methods), list(workflow.suite.seeds), [" on ".join(pair) for pair in workflow.pairs()]


def _differing(then: Any, now: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two nested values differ, each place as deep as both have it: its dotted name and both sides."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys([*then, *now]):
            yield from _differing(then.get(name), now.get(name), f"{where}.{name}" if where else str(name))
    elif all(isinstance(side, list) and any(isinstance(one, Mapping) for one in side) for side in (then, now)):
        for index, (one, other) in enumerate(zip_longest(then, now)):
            yield from _differing(one, other, f"{where}.{index}")
    elif then != now:
        yield where, then, now
