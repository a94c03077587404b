"""The result files as one table of plain text."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench import basis, breakdown, category, input, machine, records
from bench.goals import judged
from bench.methods import LABELS, needs_basis
from bench.models import SHAPES

Record = dict[str, Any]
RULE = "─"
NONE = "–"


def whole(folder: Path, device: str | None = None) -> list[str]:
    """All results in the folder, of one kind of device or of all, then the goals.

    Parameters
    ----------
    folder : Path
        Of the result files.
    device : {"cpu", "cuda"}, optional
    """
    found = {
        kind: {key: record for key, record in records.read(folder, kind).items() if _of(record, device)}
        for kind in records.KINDS
    }
    result: list[str] = []
    for key, record in found["step"].items():
        result += [*step_block(record, found["memory"].get(key)), ""]
        if record.get("breakdown"):
            result += [*breakdown.lines(record), ""]
    for kind, labels in (("basis", basis.LABELS), ("attach", LABELS)):
        for record in found[kind].values():
            result += [*setup_block(record, labels), ""]
    for record in found["input"].values():
        result += [*input_block(record, list(found["step"].values())), ""]
    for record in found["category"].values():
        result += [*category.lines(record), *busy(record), ""]
    results = {kind: list(of_kind.values()) for kind, of_kind in found.items()}
    places = {machine.in_words(record["machine"]): None for of_kind in results.values() for record in of_kind}
    return [*result, *goal_block(results, device), "", *places]


def _of(record: Record, device: str | None) -> bool:
    return device in (None, record["setting"]["device"].split(":")[0])


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


def step_block(record: Record, memory: Record | None) -> list[str]:
    """Step times of one configuration, with the peaks of memory where they were taken."""
    setting, floor = record["setting"], record["floor"]
    head = f"{title(setting)}, {batch_of(setting)}, sparse rate {setting['sparse_rate']}: floor {floor:.2f}"
    rows = []
    for method, row in record["methods"].items():
        used = {} if memory is None else memory["methods"].get(method, {})
        rows.append([LABELS[method], *_step_cells(method, row, floor), *_memory_cells(used)])
    names = ["one step", "trained", "first s", "s", "ratio", "range", "to peft", "to floor", "peak MiB", "ratio"]
    return [head, *aligned(names, rows), *busy(record)]


def busy(record: Record) -> list[str]:
    """A warning if more ran at the end than the measurement itself; empty otherwise."""
    host = record["machine"]
    load = host.get("load_average_after")
    if load is None or load[0] <= 1.5 * host["cores"]:
        return []
    return [f"The machine was busy: load average {load[0]:.1f} on {host['cores']} cores at the end."]


def _step_cells(method: str, row: Record, floor: float) -> list[str]:
    if "failed" in row:
        return [row["failed"], *[NONE] * 6]
    to = row.get("ratio_to", {})
    ratio, peft = to.get("full_ft"), to.get("peft_frod")
    return [
        f"{row['trained']:,}",
        seconds(row["first"]),
        seconds(row["median"]),
        NONE if ratio is None else f"{ratio['median']:.2f}",
        NONE if ratio is None else f"{ratio['least']:.2f}–{ratio['most']:.2f}",
        NONE if peft is None else f"{peft['median']:.2f}",
        f"{ratio['median'] / floor:.2f}" if ratio is not None and needs_basis(method) else NONE,
    ]


def _memory_cells(row: Record) -> list[str]:
    if "peak" not in row:
        return [row.get("failed", NONE), NONE]
    ratio = row.get("ratio_to", {}).get("full_ft")
    return [f"{row['peak'] / 2**20:,.0f}", NONE if ratio is None else f"{ratio:.2f}"]


def setup_block(record: Record, labels: dict[str, str]) -> list[str]:
    """Set-up or attach times of one model."""
    what = {"basis": "set-up", "attach": "adapter"}[record["kind"]]
    rows = []
    for name, row in record["methods"].items():
        peft = row.get("ratio_to", {}).get("peft_frod")
        label = labels[name] + (", default" if name == f"frod_{record.get('default')}" else "")
        cells = [seconds(row["median"]), f"{seconds(min(row['seconds']))}–{seconds(max(row['seconds']))}"]
        rows.append([label, *cells, NONE if peft is None else f"{peft['median']:.3f}"])
    return [title(record["setting"]), *aligned([what, "s", "range", "to peft"], rows), *busy(record)]


def input_block(record: Record, steps: list[Record]) -> list[str]:
    """Examples per second of an input, and how far a training step is from asking for as many.

    Parameters
    ----------
    steps : list
        Results of step times; those of this model and batch are compared with.
    """
    setting = record["setting"]
    result = []
    for source in record["sources"].values():
        methods = source["methods"]
        rows = []
        for way, row in methods.items():
            ratios = [methods.get(ours, {}).get("ratio_to", {}).get(way) for ours in input.OURS]
            rows.append([input.LABELS[way], f"{_rate(record, row):,.0f}", *map(_times, ratios)])
        names = ["input alone", "examples/s", *(f"{ours} to it" for ours in input.OURS)]
        result += [f"{source['what']}, batch {setting['batch']}, {setting['device']}", *aligned(names, rows), ""]
    for step in steps:
        if all(step["setting"][name] == setting[name] for name in ("model", "batch", "device", "dtype")):
            taken = step["setting"]["batch"] / step["methods"]["full_ft"]["median"]
            given = _rate(record, record["sources"]["photographs"]["methods"]["prepared"])
            result.append(
                f"Full fine-tuning takes {taken:.1f} examples/s, prepared arrays give {given / taken:,.0f} times that."
            )
    return [*result, *busy(record)]


def _times(ratio: Record | None) -> str:
    """How many times as quick, with the range, from a ratio of seconds."""
    if ratio is None:
        return NONE
    return f"{1 / ratio['median']:.1f}× ({1 / ratio['most']:.1f}–{1 / ratio['least']:.1f})"


def _rate(record: Record, row: Record) -> float:
    return record["batches"] * record["setting"]["batch"] / row["median"]


def goal_block(results: dict[str, list[Record]], device: str | None) -> list[str]:
    """The goals and what was measured."""
    rows = []
    for goal, record in judged(results, device):
        value = None if record is None else goal.measured(record)
        setting = goal.where if record is None else record["setting"]
        where = f"{goal.where['device']} {goal.where['model']}"
        if "batch" in goal.where:
            where += f", {batch_of(setting)}"
        limit = f"{goal.limit:g}"
        if value is None or record is None:
            rows.append([where, goal.in_words(), limit, "not measured", NONE, NONE, NONE])
            continue
        floor = [NONE, NONE]
        if goal.kind == "step" and goal.what == "full_ft":
            floor = [f"{record['floor']:.2f}", f"{value / record['floor']:.2f}"]
        rows.append([where, goal.in_words(), limit, f"{value:.3g}", *floor, "yes" if value <= goal.limit else "no"])
    return aligned(["goal", "of", "at most", "measured", "floor", "to floor", "met"], rows, left=2)


def seconds(value: float) -> str:
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
