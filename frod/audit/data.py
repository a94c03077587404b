"""What the runs read: weights, prepared arrays and bases, each held against its manifest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from frod.audit import texts
from frod.audit.findings import NOTHING, Findings
from frod.audit.presence import is_stamp
from frod.audit.study import Study, read_json
from frod.files import PREFIX
from frod.hub.access import RECORD, recorded
from frod.provenance import artefacts

MODEL, TASK, BASIS = "source.json", "manifest.json", "manifest.json"


def files(study: Study) -> Iterator[tuple[Path, Path, str]]:
    """Files that the manifests name: manifest, file, sha256. Broken ones, and names astray, are left to `check`."""
    for manifest in _manifests(study):
        yield from ((manifest, manifest.parent / name, sha) for name, sha in _named(manifest) if _is_name(name))


def _manifests(study: Study) -> dict[Path, str]:
    """All manifests, each with the command that writes it."""
    found = {study.model(backbone) / MODEL: "backbone" for backbone in study.workflow.backbones()}
    found |= {folder / BASIS: "basis" for folder in study.bases}
    return found | {study.tasks / task / backbone / TASK: "task" for task, backbone in study.workflow.pairs()}


def _named(manifest: Path) -> list[tuple[str, str]]:
    content = read_json(manifest)
    try:
        tables = [split["files"] for split in content["splits"].values()] if "splits" in content else [content["files"]]
        return [(name, str(sha)) for table in tables for name, sha in table.items()]
    except (KeyError, TypeError, AttributeError):
        return []


def _is_name(name: str) -> bool:
    """Whether it is a file's name, and no path to another folder."""
    return Path(name).name == name


def check(study: Study, findings: Findings) -> None:
    """Hold every file against the manifest that names it, and the manifests against the plan and each other."""
    for manifest, path, expected in files(study):
        study.digests.compare(findings, path, expected, by=manifest.name, remedy=remedy(path))
    for manifest, command in _manifests(study).items():
        with findings.guard(manifest, "its folder"):
            texts.check(manifest, command, findings, remedy=remedy(manifest))
            _check_folder(manifest, findings)
    for task, backbone in study.workflow.pairs():
        manifest = study.tasks / task / backbone / TASK
        with findings.guard(manifest, "the prepared task"):
            _check_task(study, manifest, task, backbone, findings)
            findings.checked["prepared tasks"] += 1
    unheld = []
    for backbone in study.workflow.backbones():
        manifest = study.model(backbone) / MODEL
        with findings.guard(manifest, "the weights"):
            unheld += [] if _check_model(study, manifest, backbone, findings) else [backbone]
            findings.checked["backbones"] += 1
    if unheld:
        findings.unchecked["weights of the Hub"] = f"nothing here holds them against it: {', '.join(unheld)}"


def _check_folder(manifest: Path, findings: Findings) -> None:
    """A manifest names what lies next to it, all of that, and nothing else."""
    names = {name for name, _ in _named(manifest)} | {manifest.name}
    for name in sorted(names):
        if not _is_name(name):
            findings.add(manifest, f"names {name}, which does not lie next to it", remedy=remedy(manifest))
    for path in sorted(manifest.parent.iterdir()):
        if path.name.startswith(PREFIX):
            findings.note(f"{path}: half-written, left by a process that was killed")
        elif path.name not in names and not is_stamp(path):
            kind = "folder" if path.is_dir() else "file"
            findings.add(path, f"a {kind} that {manifest.name} does not name", remedy="remove it")


def remedy(path: Path) -> str:
    return f"remove {path.parent} and run `snakemake data bases`, or `dvc checkout`"


def _check_task(study: Study, path: Path, task: str, backbone: str, findings: Findings) -> None:
    from frod.tasks import arrays, images, registry

    manifest = arrays.load_manifest(path.parent, verify=False)
    params = study.workflow.params
    spec = registered(study, task, registry.load(), study.workflow.suite.tasks, registry.TaskSpec)
    inputs = images.at_size(json.loads((study.model(backbone) / MODEL).read_text("utf-8"))["inputs"], spec.image_size)
    expected = {
        "task": task,
        "backbone": backbone,
        "parameters": {"seed": params.split.seed, "protocol": params.protocol, "max_train": None},
        "inputs": inputs,
    }
    found = {name: manifest[name] for name in expected}
    found["parameters"] = {name: found["parameters"][name] for name in expected["parameters"]}
    findings.equal(path, "", expected, found, remedy=remedy(path))
    kinds = ["labels", "ids", *(("tokens", "offsets") if inputs["kind"] == "text" else ("images",))]
    kinds += ["prompts"] if manifest["problem"] == "generation" else []
    kinds += ["prompts", "bytes"] if "scoring" in manifest else []
    for split, facts in manifest["splits"].items():
        planned, named = sorted(f"{split}.{kind}.npy" for kind in kinds), sorted(facts["files"])
        findings.equal(path, f"splits.{split}.files", ", ".join(planned), ", ".join(named), remedy=remedy(path))
        study.split(task, backbone, split)  # labels and ids as many as the manifest says, or an error
    _check_disjoint(study, path, task, backbone, manifest, findings)


def _check_disjoint(
    study: Study, path: Path, task: str, backbone: str, manifest: Mapping[str, Any], findings: Findings
) -> None:
    """No example of test was trained on, where all splits are drawn from one set and so share its numbering."""
    import numpy as np

    if len(manifest["source"]["rows"]) != 1:
        return
    train = study.split(task, backbone, "train").ids
    for split in manifest["splits"]:
        if split != "train":
            shared = np.intersect1d(train, study.split(task, backbone, split).ids)
            if len(shared):
                what = f"example {shared[0]} is in train and in {split} ({len(shared)} shared)"
                findings.add(path.with_name(f"{split}.ids.npy"), what, remedy=remedy(path))


def _check_model(study: Study, path: Path, backbone: str, findings: Findings) -> bool:
    """Name, and of registered models the source's pinned commit and the files' hashes.

    Returns whether all files are held where they are the Hub's: a mirror's record tells their hashes, and nothing those
    of files that were rewritten.
    """
    from frod.backbones import registry

    source = json.loads(path.read_text("utf-8"))
    spec = registered(study, backbone, registry.load(), study.workflow.suite.backbones, registry.BackboneSpec)
    seed = study.workflow.params.split.seed
    expected = {"name": backbone, "title": spec.title, "library": spec.library, "licence": spec.licence}
    expected |= _origin(spec.source, seed, source)
    held = {name: source.get(name, NOTHING) for name in expected}
    findings.equal(path, "by the registry", expected, held, remedy=remedy(path))
    known = {*expected, "revision", "inputs", "files", "fetched", artefacts.DIGEST}
    for name in sorted(source.keys() - known):
        findings.add(path, name, NOTHING, source[name], remedy=remedy(path))
    pinned = getattr(spec.source, "revision", None)
    if pinned is not None and source["revision"] is not None:
        findings.equal(path, "revision, by the registry", pinned, source["revision"], remedy=remedy(path))
    fetched = source.get("fetched", source["files"])
    for name, expected in (getattr(spec.source, "sha256", None) or {}).items():
        findings.equal(path.with_name(name), "sha256 (by the registry)", expected, fetched.get(name))
    if not isinstance(spec.source, registry.Hub):
        return True
    told = _recorded(study, spec.source, source["revision"])
    for name in fetched.keys() & told.keys():
        what = f"sha256 (by the mirror's {RECORD})"
        findings.equal(path.with_name(name), what, told[name], fetched[name], remedy=remedy(path))
    return all(told.get(name) == digest for name, digest in source["files"].items())


def _recorded(study: Study, source: Any, stated: str | None) -> dict[str, str]:
    """What a mirror's record says of a model's files at the registry's commit, sha256 by name; nothing without one."""
    mirror = mirror_of(study)
    entry = recorded(mirror).get(f"models/{source.id}", {}) if mirror else {}
    if entry.get("revision") != (source.revision or stated):
        return {}
    return {name: facts["sha256"] for name, facts in entry.get("files", {}).items()}


def mirror_of(study: Study) -> Path | None:
    """The folder that is looked up before the Hub."""
    mirror = os.environ.get("FROD_MIRROR") or study.workflow.params.paths.mirror
    return Path(mirror).expanduser() if mirror else None


def _origin(source: Any, seed: int, stated: Mapping[str, Any]) -> dict[str, Any]:
    """What source.json says of where the weights are from; of what they learned only the registry's part is held."""
    from frod.backbones.registry import Hub, Package, Pretrained

    if isinstance(source, Hub | Package):
        return {"source": f"hub {source.id}" if isinstance(source, Hub) else f"package {source.package}"}
    if not isinstance(source, Pretrained):
        return {"source": f"path {source.path.name}"}
    learned = f"by {source.pretraining} on {source.data}"
    shown = (f"pre-trained here {learned}", f"shipped with frod, pre-trained {learned}")
    there = stated["pretraining"]
    facts = source.model_dump(mode="json") | {"seed": seed if source.seed is None else source.seed}
    facts |= {name: there[name] for name in ("examples", "data_sha256")}
    return {"source": shown[stated["source"] == shown[1]], "pretraining": facts}


def registered(study: Study, name: str, known: Mapping[str, Any], own: Mapping[str, Any], kind: type) -> Any:
    """A registry's entry, or the suite's own."""
    from frod.config.schema import validate

    return known[name] if name in known else validate(kind, own[name], f"suite {study.workflow.name}", name)
