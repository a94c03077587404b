"""What a measurement was taken on: hardware and versions; no names of hosts, users or paths."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from frod.provenance.git import git_text
from frod.provenance.records import processor_name

PACKAGES = ("torch", "transformers", "peft", "accelerate", "timm", "safetensors", "numpy", "pillow", "torchvision")


def describe(device: str) -> dict[str, Any]:
    """The machine, its load at this moment, and the code."""
    result = {
        "processor": processor_name(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "memory_bytes": _memory(),
        "threads": torch.get_num_threads(),
        "load_average": load(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name)) is not None},
        "code": _code(),
    }
    if torch.device(device).type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        result["gpu"] = {
            "name": properties.name,
            "memory_bytes": properties.total_memory,
            "cuda": torch.version.cuda,
            "count": 1,  # what is used, not what is there
        }
    return result


def load() -> list[float] | None:
    """Load averages over 1, 5 and 15 minutes, where the system keeps them."""
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None


def in_words(machine: dict[str, Any]) -> str:
    """One line for a table."""
    place = f"{machine['processor']} ({machine['instructions']}), {machine['threads']} threads"
    if "gpu" in machine:
        place = f"{machine['gpu']['name']}, CUDA {machine['gpu']['cuda']}"
    return ", ".join([place, *(f"{name} {machine['packages'][name]}" for name in ("torch", "peft"))])


def _memory() -> int | None:
    path = Path("/proc/meminfo")
    if path.exists():
        return int(path.read_text().split("MemTotal:")[1].split()[0]) * 1024
    return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _code() -> dict[str, Any] | None:
    """The commit, and whether the measured code differs from it; None without git."""
    root = Path(__file__).parents[1]
    commit = git_text("rev-parse", "HEAD", cwd=root)
    changed = git_text("status", "--porcelain", "--", "frod", "bench/*.py", cwd=root)
    return None if commit is None else {"commit": commit, "changed": bool(changed)}
