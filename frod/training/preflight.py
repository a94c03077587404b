"""What would stop a suite's jobs one by one, found at once and before the first of them: its own data and methods."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frod.backbones.registry import BackboneSpec
    from frod.config import Workflow
    from frod.tasks.registry import TaskSpec


def check(
    workflow: Workflow,
    backbones: Mapping[str, BackboneSpec],
    tasks: Mapping[str, TaskSpec],
    *,
    prepared: Collection[str] = (),
) -> None:
    """Read the suite's own tasks as `frod task` will, and hold its methods against peft.

    Nothing is fetched, and what the package brings along is not looked at.

    Parameters
    ----------
    backbones, tasks : mapping of name to BackboneSpec, to TaskSpec
        Registry entries and the suite's own.
    prepared : collection of str
        Tasks that need no look.

    Raises
    ------
    ValueError
        All that is wrong, one line each.
    """
    wanted = dict.fromkeys(task for task, _ in workflow.pairs() if task not in prepared)
    faults = [
        *_of_tasks(workflow, {name: tasks[name] for name in wanted if hasattr(tasks[name].source, "path")}),
        *_of_backbones(workflow, backbones),
        *_of_methods(workflow),
    ]
    if faults:
        raise ValueError("\n".join(dict.fromkeys(faults)))


def _of_tasks(workflow: Workflow, own: Mapping[str, TaskSpec]) -> list[str]:
    if not own:
        return []
    from frod.tasks import prepare

    faults = []
    for name, task in own.items():
        try:
            prepare.check(name, task, seed=workflow.params.split.seed, protocol=workflow.params.protocol)
        except (ValueError, OSError) as error:
            faults.append(f"suite {workflow.name}: tasks.{name}: {error}")
    return faults


def _of_backbones(workflow: Workflow, backbones: Mapping[str, BackboneSpec]) -> list[str]:
    return [
        f"suite {workflow.name}: backbones.{name}: source.path: {path} does not exist, seen from {Path.cwd()}"
        for name in workflow.backbones()
        if (path := getattr(backbones[name].source, "path", None)) and not path.exists()
    ]


def _of_methods(workflow: Workflow) -> list[str]:
    from frod.config.workflow import known_methods

    known = [(entry.get("config"), entry.get("arguments", {})) for entry in known_methods().values()]
    own = {
        run.method: run.adapter
        for run in workflow.runs
        if run.adapter.kind == "peft" and (run.adapter.config, run.adapter.arguments) not in known
    }
    if not own:
        return []
    from frod.training.methods import peft  # takes seconds

    faults = []
    for name, adapter in own.items():
        try:
            peft.configuration(adapter, ["layer"], 0)
        except ValueError as error:
            faults.append(f"suite {workflow.name}: methods.{name}: {str(error).removeprefix('methods: ')}")
    return faults
