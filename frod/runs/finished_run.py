"""What a finished run was made of: the run itself and its input files, as its record names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frod import files
from frod.config import Run, schema
from frod.provenance import artefacts, records


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A training or a trial that is over; paths are relative to the working directory, as in the workflow.

    Attributes
    ----------
    path : Path
        Its record: `seed-N/record.json`, or `tune/trial-*.json`, which is a trial's result and record in one.
    facts : mapping
        What that file says.
    inputs : mapping of str to str
        sha256 by path.
    code : str
        Hash of the code that trained it.
    """

    path: Path
    facts: Mapping[str, Any]
    run: Run
    inputs: Mapping[str, str]
    code: str

    @classmethod
    def read(cls, path: Path) -> Finished:
        """Read the record of a run's folder, or the record or trial itself.

        Raises
        ------
        ValueError
            There is no such file, or it is neither.
        """
        path = path / records.RECORD if path.is_dir() else path
        if not path.is_file():
            raise ValueError(
                f"{path}: there is no such record; name a run's folder, its record.json or a trial's tune/trial-*.json"
            )
        if path.name == records.RECORD:
            facts = records.read_record(path)
            code = facts["code"]["hash"]
        else:
            keys = ("spec", "inputs", "code", "validation", "undefined", "outputs")
            facts = artefacts.read_json(path, keys=keys, remedy="it is no trial, or run `snakemake` to make it again")
            code = facts["code"]
        return cls(
            path=path,
            facts=facts,
            run=schema.validate(Run, facts["spec"], str(path), "spec"),
            inputs=dict(facts["inputs"]),
            code=code,
        )

    @property
    def is_trial(self) -> bool:
        """Whether it is a trial of learning rates, which leaves no model."""
        return self.path.name != records.RECORD

    def output(self, name: str) -> Path:
        """One of its files, by the name that a run gives it."""
        return records.output_path(self.path, name)

    @property
    def backbone(self) -> Path:
        """Folder of the weights."""
        return self._named("source.json").parent

    @property
    def task(self) -> Path:
        """Folder of the prepared task."""
        return self._named("manifest.json").parent

    @property
    def basis(self) -> Path | None:
        """Folder of the shared basis, of kind frod."""
        return self._named("manifest.json", at=1).parent if self.run.adapter.kind == "frod" else None

    @property
    def rates(self) -> Path | None:
        """File of the rates that trials chose, where they did."""
        return self._named("rates.json") if any(Path(name).name == "rates.json" for name in self.inputs) else None

    def _named(self, name: str, at: int = 0) -> Path:
        """An input by its file name; task and basis, in this order, have a manifest each."""
        found = [Path(path) for path in self.inputs if Path(path).name == name]
        if len(found) <= at:
            raise ValueError(
                f"{self.path}: inputs: {len(found)} of {name} are named, a {self.run.adapter.kind} has more"
            )
        return found[at]

    def check_inputs(self) -> None:
        """Hold each input against its recorded hash; what else lies in its folder is held against it when it is read.

        Raises
        ------
        ValueError
            Names the inputs that are missing or changed.
        """
        remedy = "bring them back (`dvc checkout`, or the workflow at the recorded commit), in the project's folder"
        files.verify(Path(), self.inputs, by=str(self.path), remedy=remedy)

    def check_rates(self) -> None:
        """Hold the run's learning rates against those that the trials chose, where they did.

        Raises
        ------
        ValueError
            The record names others.
        """
        rates = self.run.rates.model_dump(exclude_none=True) if self.run.rates else None
        chosen = artefacts.read_json(self.rates, keys=["rates"])["rates"] if self.rates else rates
        if rates != chosen:
            raise ValueError(
                f"{self.path}: spec.rates are {rates}, {self.rates} chose {chosen}: the record was changed"
            )
