"""Raw data: their files have the manifests' hashes, and read again they give the arrays' examples, labels and inputs.

They are read and drawn by the very code that prepares a task. Inputs are encoded again where that is cheap and gives
the same bytes everywhere: texts, and images that come decoded, of tasks of no more than `ENCODED` examples.

What follows from a task's entry in the registry is held where no data are at hand, too.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from frod import backbones
from frod.audit.data import TASK, mirror_of, registered, remedy
from frod.audit.findings import Findings
from frod.audit.study import Study, leads_out
from frod.files import sha256
from frod.tasks import folders, prepare, registry
from frod.tasks.examples import Examples, Source
from frod.tasks.registry import Hub, Local, Package, TaskSpec

ENCODED = 5_000
"""Examples of a task, of more of which the inputs are not encoded again: an audit takes seconds."""
OF_DATA = ("source", "parameters", "duplicates")
"""What follows from the data and their draw; the rest of a manifest's facts are the registry's."""
IMAGES = "/*/*"
"""How a manifest names the images of a split of one's own, which have one hash together."""


def check(study: Study, findings: Findings) -> None:
    """Hold the prepared tasks against the registry, and against their raw data where these are at hand, read once."""
    known, own = registry.load(), study.workflow.suite.tasks
    on: dict[str, list[str]] = {}
    for task, backbone in study.workflow.pairs():
        on.setdefault(task, []).append(backbone)
    absent: dict[str, list[str]] = {}
    unread: list[str] = []
    for task, models in on.items():
        paths = [study.tasks / task / backbone / TASK for backbone in models]
        with findings.guard(paths[0], "the raw data"):
            spec = registered(study, task, known, own, TaskSpec)
            for path, backbone in zip(paths, models):
                _check_task(path, spec, study.manifest(task, backbone), study.workflow.params.protocol, findings)
            if why := _lacking(study, spec) or _check(study, task, spec, paths, findings):
                absent.setdefault(why, []).append(task)
            else:
                findings.checked["raw data sets"] += 1
                unread += [] if _cheap(spec, study.manifest(task, models[0])) else [task]
    if unread:
        findings.unchecked["inputs"] = f"too many, or of files that have to be decoded: {', '.join(unread)}"
    if absent:
        findings.unchecked["raw data"] = "; ".join(f"{why}: {', '.join(tasks)}" for why, tasks in absent.items())


def _check_task(
    path: Path, task: TaskSpec, manifest: Mapping[str, Any], protocol: prepare.Protocol, findings: Findings
) -> None:
    """Hold what the registry says of a task and where its data are: for that they need not be at hand."""
    # Where the registry only counts the classes, their names are the data's, and held with these.
    named = Source(splits={}, class_names=manifest["class_names"])
    facts = prepare._facts(path.parts[-3], task, named)
    findings.equal(path, "by the registry", facts, {name: manifest.get(name) for name in facts}, remedy=remedy(path))
    source = manifest["source"]
    for part, splits in task.by_source():
        if isinstance(part.source, Hub) and any(split in source["rows"] for split in splits):
            said = source if part is task else source.get("elsewhere", {}).get(splits[0], source)
            expected: dict[str, str | None] = {"what": f"hub {part.source.id}, {part.source.config}"}
            if None not in (part.source.revision, said["revision"]):  # a mirror need not say its commit
                expected["revision"] = part.source.revision
            found = {name: said[name] for name in expected}
            findings.equal(path, "by the registry", expected, found, remedy=remedy(path))
    _check_rows(path, task, manifest, protocol, findings)


def _check_rows(
    path: Path, task: TaskSpec, manifest: Mapping[str, Any], protocol: prepare.Protocol, findings: Findings
) -> None:
    """Hold how many examples the source and each split have: test is whole, and train what the others leave."""
    there: dict[str, int] = manifest["source"]["rows"]
    known = {split: task.rows[split].rows for split in there if split in task.rows}
    found = {split: there[split] for split in known}
    findings.equal(path, "source.rows, by the registry", known, found, remedy=remedy(path))
    left, rows = dict(there), {}
    for split, part in prepare._drawn_from(task, protocol).items():
        rows[split] = left[part.from_] if part.rows is None else part.rows
        left[part.from_] -= rows[split]
    rows["train"] -= manifest["duplicates"]["left_out"]
    if protocol == "released":
        rows["validation"] = rows["test"]
    found = {split: facts["rows"] for split, facts in manifest["splits"].items()}
    findings.equal(path, "rows of splits, by the registry", rows, found, remedy=remedy(path))


def _lacking(study: Study, task: TaskSpec) -> str | None:
    """Why the raw data are not at hand, if they are not."""
    source, mirror = task.source, mirror_of(study)
    for part, _ in task.by_source():
        if isinstance(part.source, Hub) and not (mirror and (mirror / "datasets" / part.source.id).is_dir()):
            return f"no mirror has {part.source.id}"
    if isinstance(source, Local) and not (source.path.is_file() or source.path.is_dir()):
        return f"there is no {source.path}"
    if isinstance(source, Package) and not any(metadata.distributions(name=source.package)):
        return f"the package {source.package} is not installed"
    return None


def _check(study: Study, task: str, spec: TaskSpec, paths: list[Path], findings: Findings) -> str | None:
    """Compare files, then what is in them; returns why that could not be told, where it could not."""
    manifests = [study.manifest(task, path.parts[-2]) for path in paths]
    for one, path in zip(manifests, paths):
        for part, splits in spec.by_source():
            facts = one["source"] if part is spec else one["source"]["elsewhere"][splits[0]]
            if not _same_files(study, part, facts["files"], path, findings):
                return None
    params, told = study.workflow.params, Findings()
    draw: dict[str, Any] = {"seed": params.split.seed, "protocol": params.protocol}
    # What preparation says of examples that repeat it has said in its log.
    with contextlib.redirect_stderr(io.StringIO()), prepare.opened(spec, mirror=mirror_of(study), **draw) as source:
        parts, facts = prepare.drawn(task, spec, source, **draw)
        for path, manifest in zip(paths, manifests):
            _compare_facts(path, spec, facts, manifest, findings, told)
            _compare(path, parts, manifest, study, told)
            if _cheap(spec, manifest):
                _encode(path, spec, parts, manifest, study, told)
    here, there = facts["source"]["revision"], {one["source"]["revision"] for one in manifests}
    if told.found and isinstance(spec.source, Package) and there != {here}:
        versions = " and ".join(sorted(map(str, there)))
        return (
            f"{facts['source']['what']}, is of version {versions} by the manifest, and another in {here}, which is here"
        )
    findings.merge(told)
    return None


def _cheap(task: TaskSpec, manifest: Mapping[str, Any]) -> bool:
    """Whether inputs are encoded again; of images in files, another library may decode other bytes."""
    rows = sum(split["rows"] for split in manifest["splits"].values())
    return rows <= ENCODED and (task.kind != "images" or isinstance(task.source, Package))


def _same_files(study: Study, task: TaskSpec, listed: Mapping[str, str], path: Path, findings: Findings) -> bool:
    """Whether the raw files have the hashes that a manifest names."""
    if isinstance(task.source, Local):
        root = task.source.path if task.source.path.is_dir() else task.source.path.parent
    elif isinstance(task.source, Hub) and (mirror := mirror_of(study)):
        root = mirror / "datasets" / task.source.id
    else:
        return True
    same = []
    for name, expected in listed.items():
        if leads_out(name):
            findings.add(path, f"source.files: {name} leads out of {root}, and was not read", remedy=remedy(path))
            same.append(False)
        elif name.endswith(IMAGES):
            split = root / name.removesuffix(IMAGES)
            folder = split if split.is_dir() else root  # without folders of splits all are `all`
            found = folders.digest(folder, folders.images(folder))
            what = f"images of {name}, by {path}"
            same.append(findings.equal(root, what, expected, found, remedy="bring them back"))
        else:
            there = root / name
            same.append(study.digests.compare(findings, there, expected, by=str(path), remedy="fetch it again"))
    return all(same)


def _compare_facts(
    path: Path,
    task: TaskSpec,
    facts: Mapping[str, Any],
    manifest: Mapping[str, Any],
    findings: Findings,
    told: Findings,
) -> None:
    """What the manifest says: of the task, by the registry (to `findings`); of data and draw (to `told`)."""
    source, there = facts["source"], manifest["source"]
    of_task = {name: value for name, value in facts.items() if name not in OF_DATA} | {"what": source["what"]}
    said = {name: manifest.get(name) for name in of_task} | {"what": there["what"]}
    findings.equal(path, "by the registry", of_task, said, remedy=remedy(path))
    # A mirror need not say its commit; of another version of a package the data may still be the same.
    loose = isinstance(task.source, Package) or (
        isinstance(task.source, Hub) and None in (source["revision"], there["revision"])
    )
    of_data = {name: facts[name] for name in OF_DATA} | {
        "source": source | ({"revision": there["revision"]} if loose else {})
    }
    told.equal(path, "by the raw data", of_data, {name: manifest[name] for name in OF_DATA}, remedy=remedy(path))


def _compare(
    path: Path, parts: Mapping[str, Examples], manifest: Mapping[str, Any], study: Study, findings: Findings
) -> None:
    """Which examples each split has, and their labels."""
    findings.equal(path, "splits, by the raw data", sorted(parts), sorted(manifest["splits"]), remedy=remedy(path))
    for split in sorted(parts.keys() & manifest["splits"].keys()):
        there = study.split(path.parts[-3], path.parts[-2], split)
        for name in ("ids", "labels"):
            file, one, other = path.with_name(f"{split}.{name}.npy"), getattr(parts[split], name), getattr(there, name)
            if len(one) != len(other):
                findings.add(file, "rows, by the raw data", len(one), len(other), remedy=remedy(file))
            elif not np.array_equal(one, other):
                row = int(np.argmax(one != other))
                what = f"row {row} ({np.sum(one != other)} differ), by the raw data"
                findings.add(file, what, one[row].item(), other[row].item(), remedy=remedy(file))
        findings.checked["labels by the raw data"] += len(there)


def _encode(
    path: Path,
    task: TaskSpec,
    parts: Mapping[str, Examples],
    manifest: Mapping[str, Any],
    study: Study,
    findings: Findings,
) -> None:
    """Encode the inputs once more, elsewhere, and compare their files."""
    tokenizer = backbones.tokenizer(study.model(path.parts[-2]))
    with tempfile.TemporaryDirectory(prefix="frod-audit-") as folder:
        for split in parts.keys() & manifest["splits"].keys():
            prepare.encode(Path(folder), split, parts[split], task, manifest["inputs"], tokenizer, manifest["task"])
            for name in manifest["splits"][split]["files"]:
                file, one = path.with_name(name), Path(folder) / name
                inputs = not name.endswith((".ids.npy", ".labels.npy"))  # which are compared before
                if inputs and file.is_file() and one.read_bytes() != file.read_bytes():
                    what = "differs from the raw data, encoded again: sha256"
                    findings.add(file, what, sha256(one), sha256(file), remedy=remedy(file))
            findings.checked["inputs by the raw data"] += len(parts[split])
