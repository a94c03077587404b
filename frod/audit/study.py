"""What is under audit: the report, the suite it is of, and where each file of it has to lie."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frod.audit.digests import Digests
from frod.config import Run, Workflow, load
from frod.reporting.collect import FILE
from frod.reporting.naming import RunKey

if TYPE_CHECKING:
    from frod.tasks.arrays import Split

TABLES = ("files", "inputs", "code")
OWN = "audit.json"  # what an audit writes; it may lie in the report


@dataclass
class Study:
    """One suite's files. Paths are relative to the working directory, the folder of params.yaml, as in the workflow."""

    report: Path
    written: Mapping[str, Any]
    """Contents of report.json."""
    workflow: Workflow
    """What params and suite plan."""
    digests: Digests = field(default_factory=Digests)
    budgets: dict[tuple, dict[str, Any]] = field(default_factory=dict)
    """Steps and order of examples, by all that they depend on."""
    schedules: dict[tuple, list[float]] = field(default_factory=dict)
    """Factors of the learning rates, by step."""
    trained: dict[tuple, Any] = field(default_factory=dict)
    """What a method trains, by backbone and method."""

    @classmethod
    def open(cls, report: Path) -> Study:
        """Read report.json and plan the suite it is of.

        Raises
        ------
        ValueError
            There is no report, or its parameters and suite cannot be read.
        """
        path = report / FILE
        if not path.is_file():
            raise ValueError(f"{path} is not there: {report} is no report; `snakemake report` writes one")
        try:
            written = json.loads(path.read_text("utf-8"))
            params, skipped, *_ = (written[name] for name in ("params", "skipped", *TABLES))
            if not all(isinstance(written[name], dict) for name in TABLES):
                raise TypeError(f"{TABLES} should be tables")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} cannot be read ({error!r}); `snakemake report` writes it anew") from None
        workflow = load(params)
        return cls(report, written, workflow.without(skipped) if skipped else workflow)

    @property
    def results(self) -> Path:
        """Folder of the suite's runs."""
        return Path(self.workflow.params.paths.results) / self.workflow.name

    @property
    def tasks(self) -> Path:
        """Folder of the prepared tasks; the protocols' lie apart."""
        protocol = self.workflow.params.protocol
        folder = Path(self.workflow.params.paths.data) / "tasks"
        return folder if protocol == "audited" else folder / protocol

    @property
    def summary(self) -> Path:
        """Table of all runs."""
        return self.results / "summary.parquet"

    @cached_property
    def runs(self) -> dict[RunKey, Run]:
        """What is planned."""
        return {RunKey(run.task, run.backbone, run.method, run.seed): run for run in self.workflow.runs}

    @cached_property
    def folders(self) -> dict[tuple[str, str, str], Run]:
        """One run of each task, backbone and method: what its seeds have in common."""
        return {(run.task, run.backbone, run.method): run for run in reversed(self.workflow.runs)}

    @cached_property
    def records(self) -> dict[RunKey, dict[str, Any]]:
        """Records that can be read as JSON tables, of the planned runs."""
        found = {}
        for key in self.runs:
            content = read_json(self.folder(key) / "record.json")
            if isinstance(content, dict):
                found[key] = content
        return found

    def diverged(self, key: RunKey) -> bool:
        """Whether a run diverged, by its record."""
        return self.records.get(key, {}).get("diverged") is not None

    @cached_property
    def usual_code(self) -> str | None:
        """The hash of the code that most runs were made by."""
        hashes = [(record.get("code") or {}).get("hash") for record in self.records.values()]
        return max(hashes, key=hashes.count, default=None)

    def folder(self, key: RunKey) -> Path:
        """Folder of a run."""
        return self.results / key.path

    def tune(self, task: str, backbone: str, method: str) -> Path:
        """Folder of the trials of learning rates."""
        return self.results / task / backbone / method / "tune"

    def model(self, backbone: str) -> Path:
        """Folder of a backbone's weights."""
        return Path(self.workflow.params.paths.data) / "models" / backbone

    def basis(self, backbone: str) -> Path:
        """Folder of a backbone's basis."""
        return Path(self.workflow.params.paths.data) / "bases" / backbone / self.workflow.basis_of(backbone)

    def uses_basis(self, backbone: str) -> bool:
        """Whether a run of this backbone is FRoD's."""
        return any(run.backbone == backbone and run.tuner.kind == "frod" for run in self.workflow.runs)

    def inputs(self, run: Run, *, tuned: bool) -> dict[str, str | None]:
        """What a run reads, by path, with the sha256 that the files have now; `tuned`: the chosen rates, too."""
        paths = [self.model(run.backbone) / "source.json", self.tasks / run.task / run.backbone / "manifest.json"]
        paths += [self.basis(run.backbone) / "manifest.json"] if run.tuner.kind == "frod" else []
        paths += [self.tune(run.task, run.backbone, run.method) / "rates.json"] if tuned and run.rates is None else []
        return {str(path): self.digests.sha256(path) for path in paths}

    def manifest(self, task: str, backbone: str) -> dict[str, Any]:
        """A prepared task's manifest."""
        return self._manifests[task, backbone]

    @cached_property
    def _manifests(self) -> dict[tuple[str, str], dict[str, Any]]:
        return _Lazy(lambda pair: json.loads((self.tasks / pair[0] / pair[1] / "manifest.json").read_text("utf-8")))

    def split(self, task: str, backbone: str, name: str) -> Split:
        """One split of a prepared task; its hashes are looked at elsewhere."""
        return self._splits[task, backbone, name]

    @cached_property
    def _splits(self) -> dict[tuple[str, str, str], Split]:
        from frod.tasks import arrays

        return _Lazy(lambda one: arrays.load_split(self.tasks / one[0] / one[1], one[2], verify=False))


class _Lazy(dict):
    """A dictionary that makes what it does not have."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make

    def __missing__(self, key: Any) -> Any:
        self[key] = self.make(key)
        return self[key]


def read_json(path: Path) -> Any:
    """Contents of a JSON file; None where there is none or it is broken, which its hash will tell, too."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
