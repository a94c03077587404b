"""Result files: one measurement each, written whole or not at all."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.machine import describe, load
from bench.settings import Setting, setting_of
from frod import files

KINDS = ("step", "memory", "basis", "attach", "category", "input")


def start(kind: str, what: str, setting: Setting) -> dict[str, Any]:
    """The head of a result; called before measuring, as it notes the load of the machine."""
    return {"kind": kind, "what": what, "setting": setting.record(), "machine": describe(setting.device)}


def make(
    arguments: argparse.Namespace,
    measure: Callable[[Setting], dict[str, Any]],
    lines: Callable[[dict[str, Any]], list[str]],
    *,
    key: str = "shape_key",
) -> None:
    """Take the measurement that a command line names, write its result under a key of the setting, and print it."""
    setting = setting_of(arguments)
    record = measure(setting)
    write(arguments.out, getattr(setting, key), record)
    print("\n".join(lines(record)))


def write(folder: Path, key: str, record: dict[str, Any]) -> Path:
    """Write KIND-KEY.json into the folder, with the load of the machine at the end."""
    record["machine"]["load_average_after"] = load()
    path = folder / f"{record['kind']}-{key}.json"
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(path, record, indent=1)
    return path


def read(folder: Path, kind: str) -> dict[str, dict[str, Any]]:
    """All results of a kind in the folder, by their key."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob(f"{kind}-*.json")):
        record = json.loads(path.read_text())
        if isinstance(record, dict) and record.get("kind") == kind:
            found[path.stem.removeprefix(f"{kind}-")] = record
    return found
