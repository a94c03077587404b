"""What a training left besides what it trained: the same files, whether it was a run's or a trial's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frod.audit.study import Study, read_json
from frod.config import Run, Trial
from frod.provenance.records import RECORD, output_path
from frod.provenance.run_keys import RunKey, stopped

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Traces:
    """The record, history and predictions of one training."""

    run: Run
    """As it is planned."""
    path: Path
    """record.json or trial-*.json."""
    record: Mapping[str, Any]
    """What that says; empty where it is none."""

    @classmethod
    def of_run(cls, study: Study, key: RunKey) -> Traces:
        """Those of a planned run."""
        path = study.folder(key) / RECORD
        return cls(run=study.runs[key], path=path, record=study.records.get(key, {}))

    @classmethod
    def of_trial(cls, study: Study, trial: Trial) -> Traces:
        """Those of a planned trial of rates."""
        run = trial.run
        path = study.tune(run.task, run.backbone, run.method) / f"{trial.name}.json"
        found = read_json(path)
        return cls(run=run, path=path, record=found if isinstance(found, dict) else {})

    @property
    def is_trial(self) -> bool:
        """Whether it is a trial's, which opens no test."""
        return self.path.name != RECORD

    @property
    def history(self) -> Path:
        """Its steps."""
        return output_path(self.path, "history.parquet")

    @property
    def predictions(self) -> Path:
        """Of validation, and of a run's tests."""
        return output_path(self.path, "predictions.parquet")

    @property
    def undefined(self) -> str | None:
        """Why it has no predictions, by its record. A trial's may say so of a figure that is not defined on them."""
        said = self.record.get("undefined")
        return said if not self.is_trial or stopped(said) else None

    @property
    def rates(self) -> Mapping[str, float]:
        """Its highest learning rates; of a run whose rates were chosen those of its record, held against the choice."""
        if self.run.rates is None:
            stated = (self.record.get("spec") or {}).get("rates") or {}
            return {name: rate for name, rate in stated.items() if rate is not None}
        return self.run.rates.model_dump(exclude_none=True)

    @property
    def resources(self) -> Mapping[str, Any]:
        """What its record says that it took."""
        return self.record if self.is_trial else self.record["resources"]

    def read_history(self) -> pa.Table:
        """Its steps as a table; nan is null in it."""
        import pyarrow.parquet as pq

        return pq.read_table(self.history)
