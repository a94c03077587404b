"""What is under audit: the report, the suite it is of, and where each file of it has to lie."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frod.audit.digests import Digests
from frod.config import Extraction, Run, Workflow, load
from frod.config.command_line import near, of_folder
from frod.provenance import artefacts
from frod.provenance.run_keys import RunKey
from frod.reporting.collect import FILE

if TYPE_CHECKING:
    from frod.tasks.arrays import Split

TABLES = ("files", "inputs", "code")
RELEASED = "released"
"""The other protocol: its runs and report lie in a folder of this name, next to the audited ones."""
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
    trained: dict[tuple, Any] = field(default_factory=dict)
    """What a method trains, by backbone and method; shapes of heads, by backbone and outputs."""
    seen: dict[tuple, list] = field(default_factory=dict)
    """Trainings by what no other may have: see `trainings`."""
    astray: list[tuple[str, str]] = field(default_factory=list)
    """Tables of report.json and paths in them that lead out of the study: nothing reads those, they may have no end."""
    _made: dict[tuple, Any] = field(default_factory=dict)

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
            meant = near(report, FILE) or f"; `{of_folder(report, 'report')}` writes one"
            raise ValueError(f"{path} is not there: {report} is no report{meant}")
        remedy = f"`{of_folder(report, 'report')}` writes it again"
        written = artefacts.read_json(path, keys=("params", "skipped", *TABLES), remedy=remedy)
        for name in TABLES:
            if not isinstance(written[name], dict):
                raise ValueError(f"{path}: {name}: should be a table; {remedy}")
        skipped = written["skipped"]
        if not isinstance(skipped, list) or not all(isinstance(name, str) for name in skipped):
            raise ValueError(f"{path}: skipped: should be a list of names; {remedy}")
        workflow = load(written["params"], given={str(path): written["params"]})
        study = cls(report, written, workflow.without(skipped) if skipped else workflow)
        for table, tops in (("files", ()), ("inputs", (workflow.params.paths.results, workflow.params.paths.data))):
            study.astray += [(table, name) for name in written[table] if leads_out(name, tops)]
        for table, name in study.astray:
            del written[table][name]
        return study

    def endless(self) -> list[Path]:
        """Pipes and devices among the files, also behind links: reading one would never end."""
        read = {self.results, *map(self.folder, self.runs)}
        for key in self.folders:
            read |= {self.tune(*key), self.tune(*key).parent, self.tasks / key[0] / key[1]}
        for backbone in self.workflow.backbones():
            read.add(self.model(backbone))
        read |= set(self.bases)
        found = [path for folder in sorted(read) if folder.is_dir() for path in sorted(folder.iterdir())]
        return [path for path in found if path.exists() and not (path.is_file() or path.is_dir())]

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

    def undefined(self, key: RunKey) -> str | None:
        """Why a run has no predictions and no figure, by its record; None where it has them."""
        return self.records.get(key, {}).get("undefined")

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

    @cached_property
    def bases(self) -> dict[Path, tuple[str, Extraction]]:
        """Folders of the bases, each with its backbone and settings."""
        return {
            self._bases / backbone / name: (backbone, settings)
            for (backbone, name), settings in self.workflow.bases.items()
        }

    @property
    def _bases(self) -> Path:
        return Path(self.workflow.params.paths.data) / "bases"

    def basis(self, run: Run) -> Path | None:
        """Folder of the basis that a run trains on; None where it trains on none."""
        settings = self.workflow.extraction(run)
        return None if settings is None else self._bases / run.backbone / settings.name

    def basis_manifest(self, run: Run) -> dict[str, Any]:
        """The manifest of the basis of a run of kind frod."""
        folder = self.basis(run)
        assert folder is not None, "of kind frod"
        return json.loads((folder / "manifest.json").read_text("utf-8"))

    def inputs(self, run: Run, *, tuned: bool) -> dict[str, str | None]:
        """What a run reads, by path, with the sha256 that the files have now; `tuned`: the chosen rates, too."""
        paths = [self.model(run.backbone) / "source.json", self.tasks / run.task / run.backbone / "manifest.json"]
        paths += [basis / "manifest.json"] if (basis := self.basis(run)) else []
        paths += [self.tune(run.task, run.backbone, run.method) / "rates.json"] if tuned and run.rates is None else []
        return {str(path): self.digests.sha256(path) for path in paths}

    def manifest(self, task: str, backbone: str) -> dict[str, Any]:
        """A prepared task's manifest."""
        path = self.tasks / task / backbone / "manifest.json"
        return self.once(("manifest", path), lambda: json.loads(path.read_text("utf-8")))

    def split(self, task: str, backbone: str, name: str) -> Split:
        """One split of a prepared task; its hashes are looked at elsewhere."""
        from frod.tasks import arrays

        folder = self.tasks / task / backbone
        return self.once(("split", folder, name), lambda: arrays.load_split(folder, name, verify=False))

    def once(self, key: tuple, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once for each key."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def leads_out(name: str, tops: Iterable[str] = ()) -> bool:
    """Whether a path leads out of the folder it is relative to, and into none of `tops`."""
    place = Path(os.path.normpath(name))
    return (place.is_absolute() or ".." in place.parts) and not any(
        place.is_relative_to(os.path.normpath(top)) for top in tops
    )


def read_json(path: Path) -> Any:
    """Contents of a JSON file; None where there is none or it is broken, which its hash will tell, too."""
    try:
        return json.loads(path.read_text("utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None
