"""The jobs of a finished suite: each one's inputs, outputs, parameters and times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from frod.config import Workflow
from frod.config.command_line import snakemake
from frod.crate.payload import Payload
from frod.pipeline.metadata import Metadata, is_unknown
from frod.provenance import records
from frod.provenance.artefacts import read_json
from frod.provenance.hashes import MANIFESTS, standing_for
from frod.reporting.flat import flat

RULES = {
    "backbone": "weights of a model",
    "task": "a benchmark as arrays ready for a model",
    "basis": "a basis of a model's weights",
    "trial": "one training with one choice of learning rates, judged on validation",
    "tune": "learning rates chosen among trials",
    "train": "one training of a method on a task, from one seed",
    "evaluate": "metrics from predictions",
    "spectrum": "singular values of what a training changed in the weights, and the loss when they are perturbed",
    "summarise": "one table of all runs",
    "report": "the page, its tables and figures",
}
"""What each rule of the workflow makes, in its order; the rule's command is frod/cli/RULE.py."""


@dataclass(kw_only=True)
class Job:
    """What one job read and wrote, by the files' names in the crate."""

    rule: str
    of: str
    """What tells the job from others of its rule."""
    inputs: dict[str, None] = field(default_factory=dict)
    outputs: dict[str, None] = field(default_factory=dict)
    sources: list[tuple[str, str]] = field(default_factory=list)
    """Models and benchmarks from outside: ("backbone" or "task", name)."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Parameters by name."""
    code: str | None = None
    """Hash of the code that did it, where the job recorded it."""
    started: str | None = None
    finished: str | None = None
    undefined: str | None = None
    """Of a run or a trial: why it has no figure."""


class Jobs:
    """Follow Snakemake's records from the report back to the sources, and add every file met on the way to the payload.

    The records say which rule made a file, of which inputs; the files say with which settings and code, and the hashes.

    Parameters
    ----------
    workflow : Workflow
    payload : Payload
    specs : mapping of "backbone" and "task" to the registry's entries by name
    """

    def __init__(self, workflow: Workflow, payload: Payload, specs: Mapping[str, Mapping[str, Any]]) -> None:
        self._payload = payload
        self._pretrained_on = {name: spec.pretrained_on for name, spec in specs["backbone"].items()}
        entries = (entry for kind in specs.values() for entry in kind.values())
        self._own = {str(path) for entry in entries if (path := getattr(entry.source, "path", None))}
        self._again = f"run `{snakemake(workflow.params)}`"
        self._data = PurePath(workflow.params.paths.data)
        self._metadata = Metadata(Path())
        self._found: dict[str, Job] = {}
        self.records: dict[str, dict[str, Any]] = {}
        """Records of the runs by the runs' keys; filled as the jobs are read."""

    def read(self, report: Path) -> list[Job]:
        """All jobs that led to a report.json, rule by rule.

        Raises
        ------
        ValueError
            Names a file that tells of a job and is missing, or of which Snakemake has no record.
        """
        self._visit(report.as_posix())
        return sorted(self._found.values(), key=lambda job: list(RULES).index(job.rule))

    def _visit(self, output: str) -> None:
        """Add the job that made a file, after the jobs that made its inputs."""
        record = self._metadata.read(output)
        if record is None or is_unknown(record):
            raise ValueError(f"{output}: Snakemake has no record of how it was made; {self._again}")
        rule, log = record["rule"], record["log"][0]
        job = self._found.get(log)
        if job is None:
            # A basis' parts are deleted, own data are not the crate's to hold.
            inputs = [path for path in record["input"] if ".parts/" not in path and path not in self._own]
            for path in inputs:
                self._visit(path)
            of = log.removeprefix(f"logs/{rule}/").removesuffix(".log")
            job = self._found[log] = Job(rule=rule, of=of, sources=self._sources(rule, of))
            job.inputs.update(dict.fromkeys(self._add(path) for path in inputs))
        job.outputs[self._add(output)] = None
        if (said := standing_for(Path(output))).suffix == ".json" and rule != "evaluate":
            self._told(job, said)

    def _told(self, job: Job, path: Path) -> None:
        """Add what a file says of the job that wrote it."""
        content = read_json(path, remedy=f"{self._again}, or bring it with `dvc pull`")
        inputs, outputs = {}, content.get("outputs", {})
        if job.rule in ("trial", "tune", "train", "report"):
            inputs = content["inputs"]
        for files in [content.get("files", {}), *(split["files"] for split in content.get("splits", {}).values())]:
            outputs |= {(path.parent / name).as_posix(): digest for name, digest in files.items()}
        for names, hashes in ((job.inputs, inputs), (job.outputs, outputs)):
            names |= {self._add(file, digest, by=str(path)): None for file, digest in hashes.items()}
        if job.rule in ("trial", "train"):
            job.values, job.undefined = _settings(content["spec"]), content["undefined"]
            job.started, job.finished = content.get("started"), content.get("finished")
        elif job.rule in ("task", "basis"):
            basis = {name: content.get(name) for name in ("kind", "ridge")}
            job.values = _settings(content["parameters"] if job.rule == "task" else basis)
        if "code" in content:
            job.code = content["code"] if job.rule == "trial" else content["code"]["hash"]
        if job.rule == "train":
            records.check_record(content, where=str(path))
            self.records[job.of] = content

    def _sources(self, rule: str, of: str) -> list[tuple[str, str]]:
        task = {"backbone": self._pretrained_on.get(of), "task": of.partition("/")[0]}.get(rule)
        return ([("backbone", of)] if rule == "backbone" else []) + ([("task", task)] if task else [])

    def _add(self, path: str, digest: str | None = None, *, by: str = "") -> str:
        pure = standing_for(Path(path))
        large = pure.is_relative_to(self._data) and pure.name not in MANIFESTS
        return self._payload.add(pure, digest, by=by, data=large or pure.suffix == ".safetensors")


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings as one level of dotted names, lists as text; what is null or empty is left out."""
    given = {name: value for name, value in flat(values).items() if value is not None and value != []}
    return {name: " ".join(map(str, value)) if isinstance(value, list) else value for name, value in given.items()}
