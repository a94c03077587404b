"""What would stop a suite's jobs one by one, found at once and before the first of them: its own data and methods."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frod import files
from frod.config.suite_files import written_in
from frod.provenance import code, hashes, records
from frod.provenance.artefacts import first_line
from frod.provenance.run_keys import REFERENCE, SUBJECT

if TYPE_CHECKING:
    from torch.nn import Module

    from frod.backbones.registry import BackboneSpec
    from frod.config import Method, Run, Workflow
    from frod.tasks.registry import TaskSpec


def check(
    workflow: Workflow,
    backbones: Mapping[str, BackboneSpec],
    tasks: Mapping[str, TaskSpec],
    *,
    prepared: Collection[str] = (),
    memory: Path | None = None,
) -> None:
    """Read the suite's own tasks as `frod task` will, and hold its targets and methods against its models.

    Nothing is fetched, and what the package brings along is not looked at. Paths are seen from the working directory.

    Parameters
    ----------
    backbones, tasks : mapping of name to BackboneSpec, to TaskSpec
        Registry entries and the suite's own.
    prepared : collection of str
        Tasks that need no look.
    memory : Path, optional
        File in which methods that have passed are remembered: to try one takes seconds. It may be deleted.

    Raises
    ------
    ValueError
        All that is wrong, one line each.
    """
    wanted = dict.fromkeys(task for task, _ in workflow.pairs() if task not in prepared)
    _check_mirror(workflow, [tasks[name] for name in wanted])
    faults = [
        *_of_tasks(workflow, {name: tasks[name] for name in wanted if hasattr(tasks[name].source, "path")}),
        *_of_backbones(workflow, backbones),
        *_of_pairs(workflow, backbones, tasks),
        *_of_heads(workflow, tasks),
        *(list(_of_targets(workflow, backbones)) or _of_methods(workflow, backbones, memory)),
    ]
    file = written_in(workflow.params.suite)
    if faults:
        raise ValueError("\n".join(f"{file}: {fault}" for fault in dict.fromkeys(faults)))
    claims = {SUBJECT: "no claim can", REFERENCE: "that FRoD matches full fine-tuning cannot"}
    for method in (name for name in claims if name not in workflow.methods):
        print(f"{file}: methods: has no {method}: {claims[method]} be tested", file=sys.stderr)


def _check_mirror(workflow: Workflow, tasks: list[TaskSpec]) -> None:
    mirror = os.environ.get("FROD_MIRROR") or workflow.params.paths.mirror
    if mirror and not Path(mirror).expanduser().is_dir() and any(hasattr(task.source, "hub") for task in tasks):
        raise ValueError(f"paths.mirror (FROD_MIRROR): {mirror} is not a folder")


def _of_tasks(workflow: Workflow, own: Mapping[str, TaskSpec]) -> list[str]:
    if not own:
        return []
    from frod.tasks import prepare

    faults = []
    for name, task in own.items():
        try:
            prepare.check(name, task, seed=workflow.params.split.seed, protocol=workflow.params.protocol)
        except (ValueError, OSError) as error:
            faults.append(f"tasks.{name}: {error}")
    return faults


def _of_backbones(workflow: Workflow, backbones: Mapping[str, BackboneSpec]) -> Iterator[str]:
    from frod.backbones.download import lacking_package

    for name in workflow.backbones():
        source = backbones[name].source
        if (path := getattr(source, "path", None)) and not path.exists():
            yield f"backbones.{name}: source.path: {path} does not exist, seen from {Path.cwd()}"
        if (lacking := lacking_package(source)) is not None:
            yield f"experiments: backbone {name} {lacking}"


def _of_pairs(
    workflow: Workflow, backbones: Mapping[str, BackboneSpec], tasks: Mapping[str, TaskSpec]
) -> Iterator[str]:
    for task, backbone in workflow.pairs():
        has, takes = tasks[task].kind == "images", backbones[backbone].max_length is None
        if has != takes:
            named = {True: "images", False: "text"}
            yield (
                f"experiments: task {task} has {named[has]}, the backbone {backbone} takes {named[takes]}; choose "
                "another"
            )
        elif tasks[task].is_causal and (fault := _not_causal(backbone, backbones[backbone])):
            yield f"experiments: task {task} is {_how(tasks[task])}: {fault}"
        elif (edge := tasks[task].image_size) is not None and (why := _refused(backbones[backbone], edge)):
            yield f"tasks.{task}.image_size: is {edge}; the backbone {backbone} does not take it: {why}"


def _refused(backbone: BackboneSpec, edge: int) -> str | None:
    """Why a model does not take images of an edge; None where it does, or only the job can tell."""
    from frod.backbones import architecture, loading
    from frod.tasks import images

    if backbone.built_as is None:
        return None
    model = architecture.build(backbone)
    return loading.refusal(model, images.at_size(architecture.image_inputs(model, backbone), edge))


def _how(task: TaskSpec) -> str:
    return "answered in writing" if task.kind == "generation" else "a choice by likelihood"


def _not_causal(name: str, backbone: BackboneSpec) -> str | None:
    """Why a model can neither write nor score; None where it can, or nothing that is here says what it is."""
    from frod.backbones import causal
    from frod.backbones.registry import Local

    source = backbone.source
    if backbone.built_as is not None:
        known = backbone.built_as.arguments | {"model_type": backbone.built_as.name}
    elif isinstance(source, Local) and (source.path / "config.json").is_file():
        known = causal.configuration(source.path, backbone.library) | source.config
    else:
        return None
    try:
        causal.check_causal(name, known)
    except ValueError as error:
        return str(error)
    return None


def _of_heads(workflow: Workflow, tasks: Mapping[str, TaskSpec]) -> Iterator[str]:
    """Hold rates against heads: what a language model writes or scores has none to train, all else has one."""
    for run in [*workflow.runs, *(trial.run for trial in workflow.trials)]:
        headless = tasks[run.task].is_causal
        if headless and run.adapter.kind == "linear_probe":
            yield (
                f"methods.{run.method}: trains the head alone, and task {run.task}, {_how(tasks[run.task])}, has "
                "none; leave the method out"
            )
        elif run.rates is not None and headless != (run.rates.lr_head is None):
            remedy = (
                f"leave out lr_head: {_how(tasks[run.task])}, it has no head to train"
                if headless
                else "lr_head is missing"
            )
            yield f"experiments: rates of {run.method} on task {run.task}: {remedy}"


def _of_targets(workflow: Workflow, backbones: Mapping[str, BackboneSpec]) -> Iterator[str]:
    """Look for the targets that the suite names, or those usual for a model of its own, in skeletons of its models."""
    for name in dict.fromkeys(run.backbone for run in workflow.runs if run.adapter.kind in ("frod", "peft")):
        if workflow.targets_of(name) is None and name not in workflow.suite.backbones:
            continue
        from frod.method.targets import find  # takes a second

        try:
            if (model := _skeleton(backbones[name])) is not None:
                find(model, workflow.targets_of(name))
        except (ValueError, OSError, RuntimeError) as error:  # the libraries' own, of a model's configuration
            yield f"experiments: backbone {name}: {first_line(error)}"


def _skeleton(backbone: BackboneSpec) -> Module | None:
    """A model's names and shapes; None where nothing that is here says them as they will be."""
    from frod.backbones import architecture, loading
    from frod.backbones.registry import Local

    if backbone.built_as is not None:
        return architecture.build(backbone)
    source = backbone.source
    if not isinstance(source, Local) or source.config or not (source.path / "config.json").is_file():
        return None
    return loading.empty(source.path, backbone.library, "text" if backbone.max_length else "images")


def _of_methods(workflow: Workflow, backbones: Mapping[str, BackboneSpec], memory: Path | None) -> list[str]:
    """Put the suite's own methods of peft on skeletons of its models, which have shapes and no numbers."""
    from frod.config.workflow import known_methods

    known = [(entry.get("config"), entry.get("arguments", {})) for entry in known_methods().values()]
    own = {
        (run.method, run.backbone): run
        for run in workflow.runs
        if run.adapter.kind == "peft" and (run.adapter.config, run.adapter.arguments) not in known
    }
    recalled = _recalled(memory)
    by = _tried_by() if own else {}
    faults, passed = dict[str, str](), set[str]()
    for (name, backbone), run in own.items():
        what = _what_is_tried(run, backbones[backbone], by)
        fault = None if what in recalled else _fault(run, backbones[backbone])
        if fault is None:
            passed.add(what)
        else:
            faults.setdefault(name, f"methods.{name}: {fault}")
    if memory and not passed <= recalled:
        with contextlib.suppress(OSError):  # a folder to read only, for a dry run: it costs only time
            files.write_json(memory, sorted(recalled | passed))
    return list(faults.values())


def _recalled(memory: Path | None) -> set[str]:
    """What has passed before; a damaged file costs only time."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return set(map(str, json.loads(memory.read_text("utf-8")))) if memory else set()
    return set()


def _tried_by() -> dict[str, Any]:
    """What the answer depends on besides the method and the model."""
    environment = records.environment()
    return {"code": code.code_hash(__name__)} | {name: environment[name] for name in ("python", "packages")}


def _what_is_tried(run: Run, backbone: BackboneSpec, by: Mapping[str, Any]) -> str:
    methods = [method and method.model_dump(mode="json") for method in (run.adapter, run.matched)]
    return hashes.json_sha256([methods, run.targets, backbone.model_dump(mode="json", by_alias=True), by])


def _fault(run: Run, backbone: BackboneSpec) -> str | None:
    """What is wrong with a method; None where nothing is, or only the job can tell."""
    try:
        _try(run, backbone)
    except (ValueError, RuntimeError) as error:
        if "meta" not in str(error):  # torch's word where an operation needs numbers: it is left to the job
            return str(error).removeprefix("methods: ")
    return None


def _try(run: Run, backbone: BackboneSpec) -> None:
    """Put a method of peft on the layers that it is to adapt, or on one of a usual size where no entry says them."""
    from collections import Counter

    import torch

    from frod.backbones import architecture, head_modules
    from frod.training.methods import peft, size  # takes seconds

    _check_arguments(run.adapter)
    if backbone.built_as is None:
        size.count(run.adapter, Counter({(768, 768): 1}))
        return
    model = architecture.build(backbone)
    adapter = size.match(model, run.adapter, run.matched, run.targets).adapter if run.matched else run.adapter
    with torch.device("meta"):
        peft.apply(model, adapter, targets=run.targets, head=head_modules(model), basis=None, seed=0)


def _check_arguments(adapter: Method) -> None:
    """Refuse what peft takes in silence and trains something else by: words for truth values, numbers out of range."""
    from frod.training.methods import peft

    known = peft.configuration_class(adapter.config).__dataclass_fields__
    for name, value in adapter.arguments.items():
        if name in known and known[name].type in ("bool", bool) and not isinstance(value, bool):
            raise ValueError(f"arguments.{name}: is {value!r}; give true or false")
        if isinstance(value, int | float) and name.endswith("dropout") and not 0 <= value < 1:
            raise ValueError(f"arguments.{name}: is {value}; give a share from 0 to less than 1")
        if isinstance(value, int | float) and name.endswith("alpha") and value <= 0:
            raise ValueError(f"arguments.{name}: is {value}; give a number above 0")
