"""The jobs of a finished suite, told from the files they wrote: each job's inputs, outputs, parameters and times."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frod.config import Workflow
from frod.crate.payload import Payload
from frod.provenance import records
from frod.reporting.flat import flat

RULES = {
    "backbone": "weights of a model",
    "task": "a benchmark as arrays ready for a model",
    "basis": "the shared basis of a model",
    "trial": "one training with one choice of learning rates, judged on validation",
    "tune": "learning rates chosen among trials",
    "train": "one training of a method on a task, from one seed",
    "evaluate": "metrics from predictions",
    "spectrum": "singular values of what a training changed in the weights",
    "summarise": "one table of all runs",
    "report": "the page, its tables and figures",
}
"""What each rule of the workflow makes, in its order; the rule's command is frod/commands/RULE.py."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one job read and wrote, by the files' names in the crate."""

    rule: str
    of: str
    """What tells the job from others of its rule."""
    inputs: list[str]
    outputs: list[str]
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
    """Read a suite's files into jobs, and add every file met on the way to the payload.

    Parameters
    ----------
    workflow : Workflow
    report : mapping
        Of report.json.
    payload : Payload
    """

    def __init__(self, workflow: Workflow, report: Mapping[str, Any], payload: Payload) -> None:
        self._workflow, self._report, self._payload = workflow, report, payload
        self._results = Path(workflow.params.paths.results)
        self._data = Path(workflow.params.paths.data)
        self.records: dict[str, dict[str, Any]] = {}
        """Records of the runs by the runs' keys; filled as the jobs are read."""

    def read(self, backbones: Mapping[str, Any], folder: Path) -> list[Job]:
        """All jobs, rule by rule.

        Parameters
        ----------
        backbones : mapping of name to frod.backbones.registry.BackboneSpec
        folder : Path
            Of the report.

        Raises
        ------
        ValueError
            A file that tells of a job is missing; it is named.
        """
        trained = list(self._trainings())
        bases = dict.fromkeys(
            path
            for key in self.records
            for path in self.records[key]["inputs"]
            if Path(path).is_relative_to(self._data / "bases")
        )
        return [
            *(self._backbone(name, backbones[name].pretrained_on) for name in self._workflow.backbones()),
            *(self._task(*pair) for pair in self._workflow.pairs()),
            *(self._basis(Path(path)) for path in bases),
            *self._tunings(),
            *trained,
            *self._evaluations(),
            *self._spectra(),
            self._summary(),
            self._page(folder),
        ]

    def _backbone(self, name: str, pretrained_on: str | None) -> Job:
        path = self._source(name)
        content = self._json(path)
        outputs = [self._payload.add(path)]
        outputs += self._payload.add_all(content["files"], by=str(path), folder=path.parent, data=True)
        sources = [("backbone", name)] + ([("task", pretrained_on)] if pretrained_on else [])
        return Job(rule="backbone", of=name, inputs=[], outputs=outputs, sources=sources)

    def _task(self, task: str, backbone: str) -> Job:
        path = self._manifest(task, backbone)
        content = self._json(path)
        outputs = [self._payload.add(path)]
        for split in content["splits"].values():
            outputs += self._payload.add_all(split["files"], by=str(path), folder=path.parent, data=True)
        return Job(
            rule="task",
            of=f"{task}/{backbone}",
            inputs=[self._payload.add(self._source(backbone))],
            outputs=outputs,
            sources=[("task", task)],
            values=_settings(content["parameters"]),
        )

    def _basis(self, path: Path) -> Job:
        content = self._json(path)
        outputs = [self._payload.add(path)]
        outputs += self._payload.add_all(content["files"], by=str(path), folder=path.parent, data=True)
        backbone, name = path.parts[-3:-1]
        inputs = [self._payload.add(self._source(backbone))]
        values = {"ridge": content["ridge"]}
        return Job(rule="basis", of=f"{backbone}/{name}", inputs=inputs, outputs=outputs, values=values)

    def _tunings(self) -> Iterator[Job]:
        for folder in dict.fromkeys(run.folder for run in self._workflow.runs if run.rates is None):
            rates = self._results / folder / "tune" / "rates.json"
            content = self._json(rates)
            for file, digest in content["inputs"].items():
                trial = self._json(Path(file))
                yield Job(
                    rule="trial",
                    of=f"{folder}/{Path(file).stem}",
                    inputs=self._payload.add_all(trial["inputs"], by=file),
                    outputs=[self._payload.add(file, digest, by=str(rates))],
                    values=_settings(trial["spec"]),
                    code=trial["code"],
                    undefined=trial["undefined"],
                )
            inputs = self._payload.add_all(content["inputs"], by=str(rates))
            yield Job(rule="tune", of=folder, inputs=inputs, outputs=[self._payload.add(rates)])

    def _trainings(self) -> Iterator[Job]:
        for run in self._workflow.runs:
            path = self._results / run.key / "record.json"
            if not path.is_file():
                raise _missing(path)
            record = self.records[run.key] = records.read_record(path)
            files = record["outputs"].items()
            outputs = [
                self._payload.add(file, digest, by=str(path), data=Path(file).suffix == ".safetensors")
                for file, digest in files
            ]
            yield Job(
                rule="train",
                of=run.key,
                inputs=self._payload.add_all(record["inputs"], by=str(path)),
                outputs=[*outputs, self._payload.add(path)],
                values=_settings(record["spec"]),
                code=record["code"]["hash"],
                started=record["started"],
                finished=record["finished"],
                undefined=record["undefined"],
            )

    def _evaluations(self) -> Iterator[Job]:
        for folder, keys in self._by_method().items():
            run = next(run for run in self._workflow.runs if run.folder == folder)
            inputs = [
                self._payload.add(self._results / key / name)
                for key in keys
                for name in ("predictions.parquet", "record.json")
            ]
            inputs.append(self._payload.add(self._manifest(run.task, run.backbone)))
            outputs = [self._payload.add(self._results / key / "metrics.json") for key in keys]
            yield Job(rule="evaluate", of=folder, inputs=inputs, outputs=outputs)

    def _spectra(self) -> Iterator[Job]:
        for folder, keys in self._by_method().items():
            adapters = [self._results / key / "adapter.safetensors" for key in keys]
            inputs = [self._payload.add(adapter, data=True) for adapter in adapters]
            outputs = [self._payload.add(self._results / folder / "spectrum.parquet")]
            yield Job(rule="spectrum", of=folder, inputs=inputs, outputs=outputs)

    def _summary(self) -> Job:
        names = ("metrics.json", "record.json")
        inputs = [self._payload.add(self._results / key / name) for key in self.records for name in names]
        return Job(
            rule="summarise",
            of=self._workflow.name,
            inputs=inputs,
            outputs=[self._payload.add(self._report["summary"])],
        )

    def _page(self, folder: Path) -> Job:
        path = folder / "report.json"
        outputs = self._payload.add_all(self._report["files"], by=str(path), folder=folder)
        return Job(
            rule="report",
            of=self._workflow.name,
            inputs=self._payload.add_all(self._report["inputs"], by=str(path)),
            outputs=[*outputs, self._payload.add(path)],
            code=self._report["code"]["hash"],
        )

    def _by_method(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for run in self._workflow.runs:
            found.setdefault(run.folder, []).append(run.key)
        return found

    def _source(self, backbone: str) -> Path:
        return self._data / "models" / backbone / "source.json"

    def _manifest(self, task: str, backbone: str) -> Path:
        return Path(self._report["tasks"]) / task / backbone / "manifest.json"

    def _json(self, path: Path) -> dict[str, Any]:
        if not path.is_file():
            raise _missing(path)
        return json.loads(path.read_text(encoding="utf-8"))


def _missing(path: Path) -> ValueError:
    return ValueError(f"{path}: is not there; run `snakemake`, or bring it with `dvc pull`")


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings as one level of dotted names, lists as text; what is null or empty is left out."""
    given = {name: value for name, value in flat(values).items() if value is not None and value != []}
    return {name: " ".join(map(str, value)) if isinstance(value, list) else value for name, value in given.items()}
