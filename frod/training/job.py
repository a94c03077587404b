"""A training and all that goes into it: model, data, basis and rates, by the files that name them; and its record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Module

    from frod.config import Run
    from frod.training.processes import Processes
    from frod.training.run import Outcome

OUTPUTS = ("adapter.safetensors", "history.parquet", "predictions.parquet")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training and all that goes into it."""

    run: Run
    backbone: Path
    task: Path
    basis: Path | None
    inputs: dict[str, str]
    """sha256 by path."""
    code: str

    @classmethod
    def open(cls, run: Run, backbone: Path, task: Path, basis: Path | None, rates: Path | None = None) -> Job:
        """Hash the files that name the hash of everything else in their folder, and the code."""
        from frod import files
        from frod.provenance import code

        if run.adapter.kind == "frod" and basis is None:
            raise ValueError(f"--basis is missing: method {run.method} is of kind frod, which trains on a shared basis")
        named = [backbone / "source.json", task / "manifest.json"]
        named += [basis / "manifest.json"] if basis else []
        named += [rates] if rates else []
        inputs = {str(path): files.sha256(path) for path in named}
        digest = code.code_hash("frod.cli.train")
        return cls(run=run, backbone=backbone, task=task, basis=basis, inputs=inputs, code=digest)

    def train(
        self, checkpoint: Path, seconds: float, threads: int, *, test: bool, processes: Processes
    ) -> tuple[Module, Outcome]:
        """Load model and data and train, from the checkpoint of the same job where there is one.

        Parameters
        ----------
        seconds : float
            Between checkpoints.
        threads : int
            Of all processes together; each has one at least.
        test : bool
            Whether to open the test splits; a trial does not.
        processes : Processes
            All of them call this, and get the same.
        """
        import frod
        from frod import backbones
        from frod.provenance import hashes
        from frod.tasks import arrays
        from frod.training import run as stage
        from frod.training.seeds import stream
        from frod.training.writing import Writing

        stage.deterministic(max(1, threads // processes.world_size))
        manifest = arrays.load_manifest(self.task, verify=False)  # opening a split verifies its files
        tests = [name for name in manifest["splits"] if name.startswith("test")]
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        model = backbones.load(self.backbone, **arrays.head_of(manifest), seed=stream(self.run.seed, "head"))
        resolved = self.run.resolved()
        outcome = stage.train(
            self.run,
            model,
            {split: arrays.load_split(self.task, split) for split in ["train", "validation", *(tests if test else [])]},
            head=backbones.head_modules(model),
            basis=frod.Basis.load(self.basis) if self.basis else None,
            metric_names=manifest["metrics"],
            regression=manifest["problem"] == "regression",
            writing=Writing.of(manifest, backbones.tokenizer(self.backbone)),
            checkpoint=checkpoint,
            checkpoint_seconds=seconds,
            fingerprint=hashes.json_sha256(
                {"spec": resolved, "inputs": self.inputs, "code": self.code, "threads": threads}
                | {"processes": processes.world_size, "sharded": processes.sharded}
            ),
            processes=processes,
        )
        return model, outcome

    def write_record(
        self,
        outcome: Outcome,
        processes: Processes,
        out: Path,
        chosen: dict | None,
        started: datetime,
        wall: float,
    ) -> None:
        """Write record.json: what went in, what ran it, what came out."""
        import resource

        import torch

        from frod import files
        from frod.provenance import code, records

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        record = {
            "run": {name: getattr(self.run, name) for name in ("suite", "task", "backbone", "method", "seed")},
            "protocol": self.run.protocol,
            "spec": self.run.resolved(),
            "inputs": self.inputs,
            "code": {"hash": self.code, **code.git_state()},
            "environment": records.environment(),
            "processes": processes.facts(),
            "budget": outcome.budget,
            "tuning": chosen and {"trials": len(chosen["trials"]), "seeds": chosen["seeds"], "chosen": chosen["index"]},
            "best_epoch": outcome.best_epoch,
            "undefined": outcome.undefined,
            "evaluations": outcome.evaluations,
            "parameters": outcome.parameters,
            "resources": {
                "wall_seconds": wall,
                "train_seconds": outcome.train_seconds,
                "step_seconds_median": float(outcome.history["step_seconds"].median()),
                "peak_rss_bytes": peak,
                "peak_gpu_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
            },
            "seeds": outcome.seeds,
            "resumed_from_step": outcome.resumed_from,
            "outputs": {str(out / name): files.sha256(out / name) for name in OUTPUTS},
            "started": started.isoformat(),
            "finished": datetime.now(UTC).isoformat(),
        }
        records.write_record(out / "record.json", record)
