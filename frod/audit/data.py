"""What the runs read: weights, prepared arrays and bases, each held against its manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from frod.audit.findings import Findings
from frod.audit.study import Study

MODEL, TASK, BASIS = "source.json", "manifest.json", "manifest.json"


def files(study: Study) -> Iterator[tuple[Path, Path, str]]:
    """Files that the manifests name: manifest, file, sha256. Broken manifests are left to `check`."""
    for backbone in study.workflow.backbones():
        yield from _named(study.model(backbone) / MODEL)
        if study.uses_basis(backbone):
            yield from _named(study.basis(backbone) / BASIS)
    for task, backbone in study.workflow.pairs():
        yield from _named(study.tasks / task / backbone / TASK, by_split=True)


def _named(manifest: Path, *, by_split: bool = False) -> Iterator[tuple[Path, Path, str]]:
    try:
        content = json.loads(manifest.read_text("utf-8"))
        tables = [split["files"] for split in content["splits"].values()] if by_split else [content["files"]]
        named = [(manifest, manifest.parent / name, str(sha)) for table in tables for name, sha in table.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        named = []
    yield from named


def check(study: Study, findings: Findings) -> None:
    """Hold every file against the manifest that names it, and the manifests against the plan and each other."""
    named: dict[Path, set[str]] = {}
    for manifest, path, expected in files(study):
        named.setdefault(manifest, set()).add(path.name)
        study.digests.compare(findings, path, expected, by=manifest.name, remedy=remedy(path))
    for task, backbone in study.workflow.pairs():
        manifest = study.tasks / task / backbone / TASK
        with findings.guard(manifest, "the prepared task"):
            _check_task(study, manifest, task, backbone, findings)
            findings.checked["prepared tasks"] += 1
    for backbone in study.workflow.backbones():
        manifest = study.model(backbone) / MODEL
        with findings.guard(manifest, "the weights"):
            _check_model(study, manifest, backbone, findings)
            findings.checked["backbones"] += 1
    for manifest, names in named.items():
        for path in sorted(manifest.parent.iterdir()):
            if path.is_file() and path.name not in names | {manifest.name} and not path.name.startswith("."):
                findings.add(path, f"a file that {manifest.name} does not name", remedy="remove it")


def remedy(path: Path) -> str:
    return f"remove {path.parent} and run `snakemake data bases`, or `dvc checkout`"


def _check_task(study: Study, path: Path, task: str, backbone: str, findings: Findings) -> None:
    from frod.tasks import arrays

    manifest = arrays.load_manifest(path.parent, verify=False)
    params = study.workflow.params
    expected = {
        "task": task,
        "backbone": backbone,
        "parameters": {"seed": params.split.seed, "protocol": params.protocol, "max_train": None},
        "inputs": json.loads((study.model(backbone) / MODEL).read_text("utf-8"))["inputs"],
    }
    found = {name: manifest[name] for name in expected}
    found["parameters"] = {name: found["parameters"][name] for name in expected["parameters"]}
    findings.equal(path, "", expected, found, remedy=remedy(path))
    for split in manifest["splits"]:
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


def _check_model(study: Study, path: Path, backbone: str, findings: Findings) -> None:
    """Name, and of registered models the source's pinned commit and the package's hashes."""
    from frod.backbones import registry

    source = json.loads(path.read_text("utf-8"))
    spec = registered(study, backbone, registry.load(), study.workflow.suite.backbones, registry.BackboneSpec)
    findings.equal(path, "name", backbone, source["name"], remedy=remedy(path))
    pinned = getattr(spec.source, "revision", None)
    if pinned is not None and source["revision"] is not None:
        findings.equal(path, "revision, by the registry", pinned, source["revision"], remedy=remedy(path))
    fetched = source.get("fetched", source["files"])
    for name, expected in (getattr(spec.source, "sha256", None) or {}).items():
        findings.equal(path.with_name(name), "sha256 (by the registry)", expected, fetched.get(name))


def registered(study: Study, name: str, known: Mapping[str, Any], own: Mapping[str, Any], kind: type) -> Any:
    """A registry's entry, or the suite's own."""
    from frod.config.schema import validate

    return known[name] if name in known else validate(kind, own[name], f"suite {study.workflow.name}", name)
