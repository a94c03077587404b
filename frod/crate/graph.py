"""The crate's entities, through the library rocrate: files, commands, actions, parameters, each added once."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from frod.crate.jobs import RULES, Job
from frod.crate.payload import BINARY, TYPES, Known, secrets_in

METADATA = "ro-crate-metadata.json"
VERSION = "1.1"  # that the profiles below are written for
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
WORKFLOW_PROFILE = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
FORMAL_PARAMETER = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"
# RO-Crate 1.1 has no term for a hash. Given here, and not by the address of the profiles' context, so that a reader
# needs one document less.
TERMS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}


class Graph:
    """A crate that is being described."""

    def __init__(self) -> None:
        from rocrate.rocrate import ROCrate

        self.crate = ROCrate(version=VERSION)
        self.crate.metadata.extra_terms = dict(TERMS)

    def entity(self, identifier: str, properties: Mapping[str, Any]) -> dict[str, str]:
        """Add an entity that is not a file of the crate, unless it is there; return the reference to it."""
        from rocrate.model.contextentity import ContextEntity

        identifier = local(identifier)
        if self.crate.get(identifier) is None:
            compact = {name: _single(value) for name, value in properties.items()}
            self.crate.add(ContextEntity(self.crate, identifier, properties=compact))
        return {"@id": identifier}

    def file(self, known: Known, **properties: Any) -> dict[str, str]:
        """Add a file; one that the crate does not hold is a local entity, named by hash and size."""
        about: dict[str, Any] = {
            "@type": "File",
            "name": known.name,
            "encodingFormat": (TYPES | BINARY).get(PurePath(known.name).suffix, "text/plain"),
            "contentSize": str(known.size),
            "sha256": known.sha256,
        }
        if not known.held:
            return self.entity(f"#{known.name}", about | properties)
        content = known.path if known.text is None else io.StringIO(known.text)
        compact = {name: _single(value) for name, value in (about | properties).items()}
        added = self.crate.add_file(content, known.name, properties=compact)
        return {"@id": added.id}

    def profiles(self) -> None:
        """Say which profiles the crate keeps."""
        for identifier, (name, version) in PROFILES.items():
            self.entity(identifier, {"@type": "CreativeWork", "name": name, "version": version})
        self.crate.root_dataset["conformsTo"] = [{"@id": identifier} for identifier in PROFILES]

    def parameter(self, owner: str, name: str, kind: str, **properties: Any) -> dict[str, str]:
        """Add a formal parameter of the workflow or of a command."""
        about = {"@type": "FormalParameter", "name": name, "additionalType": kind}
        return self.entity(f"#{owner}/{name}", about | {"conformsTo": {"@id": FORMAL_PARAMETER}} | properties)

    def value(self, rule: str, name: str, value: Any) -> dict[str, str]:
        """Add the value of a command's parameter; jobs that share the value share the entity."""
        kind = {bool: "Boolean", int: "Integer", float: "Float"}.get(type(value), "Text")
        of = self.parameter(rule, name, kind)
        about = {"@type": "PropertyValue", "name": name, "value": value, "exampleOfWork": of}
        return self.entity(f"#{rule}/{name}={value}", about)

    def action(self, job: Job, references: Mapping[str, dict[str, str]]) -> dict[str, str]:
        """Add one job as an action; `references` has those of all files and sources by name."""
        values = [self.value(job.rule, name, value) for name, value in job.values.items()]
        sources = [references[f"{kind}:{name}"] for kind, name in job.sources]
        about: dict[str, Any] = {
            "@type": "CreateAction",
            "name": f"{job.rule} {job.of}",
            "description": RULES[job.rule]
            + (f"; by code {job.code}" if job.code else "")
            + (f"; {job.undefined}" if job.undefined else ""),
            "instrument": references[command(job.rule)],
            "object": [references[name] for name in job.inputs] + sources + values,
            "result": [references[name] for name in job.outputs],
        }
        if job.started and job.finished:
            about |= {"startTime": moment(job.started), "endTime": moment(job.finished)}
        return self.entity(f"#action/{job.rule}/{job.of}", about)

    def write(self, folder: Path) -> None:
        """Write the metadata and copy the files; ValueError where the metadata hold a secret."""
        self.crate.write(folder)
        faults = secrets_in(folder / METADATA)
        if faults:
            raise ValueError("\n".join(faults))


def local(identifier: str) -> str:
    """Return an identifier as an address may hold it: a setting's value may be any text."""
    from urllib.parse import quote

    return f"#{quote(identifier[1:], safe='/=@:+,')}" if identifier.startswith("#") else identifier


def command(rule: str) -> str:
    """The file of a rule's command."""
    return f"frod/cli/{rule}.py"


def moment(text: str) -> str:
    """A time as records have it, to the millisecond, as the profile wants it."""
    from datetime import datetime

    return datetime.fromisoformat(text).isoformat(timespec="milliseconds")


def _single(value: Any) -> Any:
    """A list of one is written as that one, and an empty one as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
