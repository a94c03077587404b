"""Results as lines of plain text: what the tables of all measurements share."""

import sys
from collections.abc import Iterable
from typing import Any

from bench.models import SHAPES

Record = dict[str, Any]
RULE = "─"
NONE = "–"


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def title(setting: Record) -> str:
    """A configuration in words."""
    depth = f"{setting['layers']} layers"
    if setting["layers"] != setting["layers_of_model"]:
        depth = f"{setting['layers']} of {setting['layers_of_model']} layers"
    return f"{setting['model']}, {depth}, {setting['device']}, {setting['dtype']}"


def batch_of(setting: Record) -> str:
    """A batch in words."""
    text = f"batch {setting['batch']}"
    if setting["accumulation"] > 1:
        text = f"batch {setting['accumulation']} × {setting['batch']}"
    return text if SHAPES[setting["model"]].patches else f"{text} × {setting['length']} tokens"


def busy(record: Record) -> list[str]:
    """A warning if more ran at the end than the measurement itself; empty otherwise."""
    host = record["machine"]
    load = host.get("load_average_after")
    if load is None or load[0] <= 1.5 * host["cores"]:
        return []
    return [f"The machine was busy: load average {load[0]:.1f} on {host['cores']} cores at the end."]


def setups(record: Record, labels: dict[str, str], what: str) -> list[str]:
    """Times of putting a method on one model, as a table."""
    rows = []
    for name, row in record["methods"].items():
        peft = row.get("ratio_to", {}).get("peft_frod")
        label = labels[name] + (", default" if name == f"frod_{record.get('default')}" else "")
        cells = [digits(row["median"]), f"{digits(min(row['seconds']))}–{digits(max(row['seconds']))}"]
        rows.append([label, *cells, NONE if peft is None else f"{peft['median']:.3f}"])
    return [title(record["setting"]), *aligned([what, "s", "range", "to peft"], rows), *busy(record)]


def digits(value: float) -> str:
    """Three digits that count."""
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def aligned(names: list[str], rows: Iterable[list[str]], left: int = 1) -> list[str]:
    """Lines of columns, the first `left` of them to the left, the others to the right."""
    every = [names, *rows]
    widths = [max(len(row[i]) for row in every) for i in range(len(names))]
    lines = [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in every
    ]
    return [lines[0], RULE * (sum(widths) + 2 * len(widths) - 2), *lines[1:]]
