"""The record of a run: what went in, what ran it, what came out.

A record is read by people and by the report long after the run, on other machines; so its keys are checked when it is
written, and nothing secret may stand in it.
"""

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from frod import files, numerics
from frod.provenance import artefacts, secrets

REQUIRED: dict[str, tuple[str, ...]] = {
    "run": ("suite", "task", "backbone", "method", "seed"),
    "spec": (),
    "inputs": (),
    "code": ("hash", "git_commit", "git_dirty"),
    "environment": ("python", "packages", "processor", "accelerator", "threads", "deterministic"),
    "budget": ("steps", "batch_size", "accumulation", "examples", "order_sha256", "epochs"),
    "evaluations": (),
    "parameters": ("trainable", "base"),
    "resources": ("wall_seconds", "train_seconds", "step_seconds_median", "peak_rss_bytes", "peak_gpu_bytes"),
    "seeds": (),
    "outputs": (),
}
REQUIRED_TEXT = ("started", "finished")
REQUIRED_OR_NONE = ("undefined",)

PACKAGES = (
    "frod", "torch", "transformers", "timm", "peft", "safetensors", "tokenizers", "numpy", "scipy",
    "scikit-learn", "pandas", "pyarrow", "datasets", "torchvision", "pillow", "babel", "snakemake", "mlflow",
)  # fmt: skip

RECORD = "record.json"
TABLES = ("history.parquet", "predictions.parquet")  # of a run and of a trial
_SHA256 = re.compile(r"[0-9a-f]{64}")


def environment() -> dict[str, Any]:
    """What runs this process: Python, packages, processor, numerics, accelerator, threads, determinism flags.

    torch is asked only if it is imported already: a stage that does without it must not pay seconds for its record.

    Returns
    -------
    dict
        Keys as `REQUIRED` has them; ``threads`` and ``deterministic`` are None where torch took no part, and
        ``accelerator`` is None where the stage computed on the processor.
    """
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": packages,
        "processor": processor_name(),
        "numerics": numerics.facts(),
        "accelerator": None,
        "threads": None,
        "deterministic": None,
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        found["accelerator"] = _accelerator(torch)
        found["threads"] = torch.get_num_threads()
        found["deterministic"] = {
            "algorithms": torch.are_deterministic_algorithms_enabled(),
            "cudnn": bool(torch.backends.cudnn.deterministic),
            "cudnn_benchmark": bool(torch.backends.cudnn.benchmark),
            "tf32_matmul": bool(torch.backends.cuda.matmul.allow_tf32),
            "cublas_workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        }
    return found


def machine(environment: dict[str, Any]) -> dict[str, Any]:
    """Of an environment what decides whether a training can come out the same bit for bit elsewhere."""
    found = {name: environment.get(name) for name in ("processor", "accelerator", "threads", "numerics")}
    return found | {"torch": (environment.get("packages") or {}).get("torch")}


def processor_name() -> str:
    """The processor's name as its maker gives it, or the architecture where the system does not tell."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip().lower() in {"model name", "cpu model"} and value.strip():
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _accelerator(torch: Any) -> str | None:
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name(torch.cuda.current_device()))
    if torch.backends.mps.is_available():
        return "Apple GPU (mps)"
    return None


def check_record(record: dict[str, Any], *, where: str = "record") -> None:
    """Hold a record against the layout that the report reads.

    ValueError with every key that is missing or has the wrong type, and every hash that is none.
    """
    problems = []
    for section, keys in REQUIRED.items():
        if not isinstance(record.get(section), dict):
            problems.append(f"{section}: expected a table, found {record.get(section)!r}")
            continue
        problems += [f"{section}.{key}: missing" for key in keys if key not in record[section]]
    problems += [f"{key}: missing" for key in REQUIRED_OR_NONE if key not in record]
    problems += [
        f"{key}: expected a time such as 2024-01-31T12:00:00+00:00, found {record.get(key)!r}"
        for key in REQUIRED_TEXT
        if not isinstance(record.get(key), str)
    ]
    for section in ("inputs", "outputs"):
        for path, digest in (record.get(section) or {}).items():
            if not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
                problems.append(f"{section}[{path!r}]: expected 64 hexadecimal digits, found {digest!r}")
    if problems:
        raise ValueError(f"{where}: {len(problems)} fault(s): " + "; ".join(problems))


def write_record(path: str | os.PathLike[str], record: dict[str, Any]) -> None:
    """Check a record, remove secrets from it and write it whole or not at all.

    ValueError where a required key is missing, or a number is NaN or infinite.
    """
    check_record(record, where=str(path))
    files.write_json(path, secrets.removed_from(record))


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a record and check it; ValueError where the file is not JSON or not a record."""
    remedy = "delete it and run the workflow again"
    record = artefacts.read_json(Path(path), remedy=remedy)
    try:
        check_record(record, where=str(path))
    except ValueError as error:
        raise ValueError(f"{error}; {remedy}") from None
    return record


def output_path(record: Path, name: str) -> Path:
    """Where a training's output of this name lies: next to record.json, or next to trial-*.json as trial-*.NAME."""
    return record.with_name(name) if record.name == RECORD else record.with_suffix(f".{name}")


def outputs_of(record: Mapping[str, Any]) -> dict[str, str]:
    """The sha256 of a training's outputs by their names next to its record."""
    return {Path(name).name: digest for name, digest in record["outputs"].items()}


def verify_outputs(path: Path, record: Mapping[str, Any], names: Iterable[str] | None = None) -> None:
    """Hold outputs of a run, which lie next to its record, against the hashes in it; ValueError with the remedy.

    names : iterable of str, optional
        Those to look at; default: all that the record names.
    """
    known = outputs_of(record)
    remedy = f"`dvc checkout`, or delete the folder {path.parent} and run again, which trains the run again"
    wanted = {name: known.get(name) for name in (known if names is None else names)}
    files.verify(path.parent, wanted, by=path.name, remedy=remedy)
