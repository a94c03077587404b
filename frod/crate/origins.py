"""Where models and benchmarks come from, as entities: title, licence, address, version."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

HUB = "https://huggingface.co/"
SPDX = re.compile(r"MIT|ISC|BSD-\d-Clause|[A-Za-z0-9]+(-[A-Za-z]+)*-\d(\.\d+)*")


def source(kind: str, name: str, spec: Any, revision: str | None) -> tuple[str, dict[str, Any]]:
    """Describe one source.

    Parameters
    ----------
    kind : "backbone" or "task"
    name : str
    spec : frod.backbones.registry.BackboneSpec or frod.tasks.registry.TaskSpec
    revision : str or None
        What was read, as source.json or the manifest says: a commit, a package's version, a seed.

    Returns
    -------
    str, dict
        The entity's identifier and its properties. A licence that has a name of SPDX's is an address, else its text.
    """
    where = spec.source
    identifier = f"#source/{kind}/{name}"
    about: dict[str, Any] = {"name": spec.title, "alternateName": name}
    hub, package = getattr(where, "hub", None), getattr(where, "package", None)
    if hub is not None:
        place = f"{HUB}{'datasets/' if kind == 'task' else ''}{where.id}"
        about |= {"url": f"{place}/tree/{revision}" if revision else place, "identifier": where.id}
        if others := [other.source.hub for other in getattr(spec, "elsewhere", {}).values()]:
            about["isBasedOn"] = [f"{HUB}datasets/{other.replace('@', '/tree/')}" for other in others]
    elif package is not None:
        about |= {"identifier": purl(package, revision)}
    elif getattr(where, "path", None) is not None:
        about["description"] = f"own files: {where.path.name}"
    else:
        about["description"] = f"made by this workflow, {revision}" if revision else "made by this workflow"
    if revision:
        about["version"] = revision
    return identifier, {"@type": "CreativeWork", **about, "license": licence(spec.licence)[0]}


def licence(name: str) -> tuple[Any, dict[str, Any] | None]:
    """Return what a `license` property holds, and the entity it refers to: None where the licence is only a text."""
    if not SPDX.fullmatch(name):  # "not stated", "its own, for research"
        return name, None
    identifier = f"https://spdx.org/licenses/{name}"
    return {"@id": identifier}, {"@id": identifier, "@type": "CreativeWork", "name": name}


def purl(package: str, version: str | None) -> str:
    """Package URL of a Python package."""
    return f"pkg:pypi/{package.lower()}" + (f"@{version}" if version else "")


def packages(recorded: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Software that ran the runs: properties by identifier, one for each version of each package."""
    found: dict[str, dict[str, str]] = {}
    for record in recorded:
        environment = record["environment"]
        versions = {"python": environment["python"], **(environment["packages"] or {})}
        for name, version in versions.items():
            identifier = f"pkg:generic/python@{version}" if name == "python" else purl(name, version)
            found[identifier] = {"@type": "SoftwareApplication", "name": name, "softwareVersion": str(version)}
    return dict(sorted(found.items()))
