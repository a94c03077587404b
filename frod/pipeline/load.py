"""Parameters and suite, held against the registries: what the workflow is to do."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frod.config import Workflow
    from frod.config.origins import Given
    from frod.config.schema import Faults


def load_workflow(
    params: dict[str, Any], root: Path, given: Given = MappingProxyType({})
) -> tuple[Workflow, dict[str, Any], dict[str, Any]]:
    """Validate parameters and suite, and hold them against the registries; ValueError says all that is wrong.

    `given` says, for messages, what of the parameters is from elsewhere than params.yaml: values by file or option.

    Returns
    -------
    workflow : frod.config.Workflow
        Without the tasks that the mirror lacks, where the suite says `skip_missing`; their names in `skipped`.
    backbones, tasks : dict
        Registry entries and the suite's own, by name.
    """
    from frod.backbones import registry as backbones
    from frod.config import load, suite_files
    from frod.config.schema import Faults, did_you_mean
    from frod.tasks import registry as tasks

    faults, workflow = Faults(), None
    with faults:
        workflow = load(params, root, given)
    where, own = (
        _written(params, root, given)
        if workflow is None
        else (str(suite_files.find(workflow.params.suite, root)[1]), workflow.suite.model_dump())
    )
    known_tasks = _with_own(tasks.load(), own["tasks"], tasks.TaskSpec, f"{where}: tasks", faults)
    of_backbones = backbones.load(), own["backbones"], backbones.BackboneSpec
    known_backbones = _with_own(*of_backbones, f"{where}: backbones", faults)
    if workflow is None:
        faults.check()
    assert workflow is not None
    for pair in workflow.pairs():
        for one, known, kind in zip(pair, (known_tasks, known_backbones), ("tasks", "backbones")):
            if one not in known.keys() | own[kind].keys():
                meant = did_you_mean(one, [*known]) or f"; known: {[*known]}"
                faults.add(f"{where}: experiments: {kind.removesuffix('s')}: {one!r} is not registered{meant}")
    faults.check()
    if workflow.suite.skip_missing:
        workflow = _without_missing(workflow, known_tasks, root)
    return workflow, known_backbones, known_tasks


def spec_of_backbone(name: str, backbones: dict[str, Any], tasks: dict[str, Any], split_seed: int) -> dict[str, Any]:
    """What `frod backbone --spec` takes: the entry, and of a model that is pre-trained here the task it learns."""
    entry = backbones[name]
    # Its shape is for estimates; the weights bring their own.
    spec = {"name": name, "backbone": entry.model_dump(mode="json", by_alias=True, exclude={"architecture"})}
    if entry.pretrained_on:
        task = tasks[entry.pretrained_on].model_dump(mode="json", by_alias=True)
        spec |= {"task": task, "seed": split_seed}
    return spec


def spec_of_task(name: str, tasks: dict[str, Any]) -> dict[str, Any]:
    """What `frod task --spec` takes."""
    return {"name": name, "task": tasks[name].model_dump(mode="json", by_alias=True)}


def own_paths(entry: Any, tasks: dict[str, Any]) -> tuple[Path, ...]:
    """The user's own files that a task or backbone names, and the task that a backbone is pre-trained on."""
    learned = getattr(entry, "pretrained_on", None)
    entries = [entry, tasks[learned]] if learned else [entry]
    return tuple(one.source.path for one in entries if getattr(one.source, "path", None))


def check_file(file: Path) -> dict[str, Any]:
    """Read a file of parameters as plain values, before Snakemake takes it for a template and runs what it says.

    ValueError, in one line, where it holds what is not plain, or the word that makes a template of it.
    """
    from frod.config import safe_yaml

    values = safe_yaml.read(file)
    if "__use_yte__" in values:
        raise ValueError(
            f"{file}: __use_yte__: makes Snakemake run the file as a template; parameters are values alone"
        )
    return values


def _written(params: dict[str, Any], root: Path, given: Given) -> tuple[str, dict[str, dict[str, Any]]]:
    """A suite's file, and its own tasks and backbones where the rest of its file is wrong, as far as they are there."""
    from frod.config import Params, safe_yaml, suite_files
    from frod.config.origins import PARAMS, origin
    from frod.config.schema import validate

    checked = validate(Params, safe_yaml.checked(params, PARAMS), partial(origin, given))
    path = suite_files.find(checked.suite, root, f"{origin(given, ['suite'])}: suite")[1]
    values, own = safe_yaml.read(path), {}
    for kind in ("tasks", "backbones"):
        section = values.get(kind)
        entries = section.items() if isinstance(section, dict) else ()
        own[kind] = {one: entry for one, entry in entries if isinstance(entry, dict)}
    return str(path), own


def _with_own(
    known: dict[str, Any], own: dict[str, dict[str, Any]], kind: type, where: str, faults: Faults
) -> dict[str, Any]:
    """The known entries and a suite's own; what is wrong with these is kept in `faults`."""
    from frod.config.schema import validate

    entries: dict[str, Any] = {}
    for name, values in own.items():
        if name in known:
            faults.add(f"{where}.{name}: is the name of a registered one; choose another")
            continue
        with faults:
            entries[name] = validate(kind, values, where, name)
    return known | entries


def _without_missing(workflow: Workflow, tasks: dict[str, Any], root: Path) -> Workflow:
    """Leave out the tasks whose files the mirror lacks; without a mirror the Hub is asked for all."""
    named = os.environ.get("FROD_MIRROR") or workflow.params.paths.mirror
    if named is None:
        return workflow
    mirror = root / Path(named).expanduser()
    wanted = dict.fromkeys(task for task, _ in workflow.pairs())
    skipped = [task for task in wanted if not _in_mirror(tasks[task], mirror)]
    if len(skipped) == len(wanted):
        raise ValueError(
            f"suite {workflow.name}: the mirror {mirror} has none of its tasks ({', '.join(skipped)}); fill it with "
            f"`frod fetch --suite {workflow.params.suite} --out {mirror}`"
        )
    return workflow.without(skipped)


def _in_mirror(task: Any, mirror: Path) -> bool:
    if not hasattr(task.source, "hub"):
        return True
    held = [(part.source, split) for part, splits in task.by_source() for split in splits]
    return all(any((mirror / "datasets" / source.id).glob(source.pattern(split))) for source, split in held)
