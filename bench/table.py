"""The result files as one table of plain text."""

from pathlib import Path

from bench import attach, basis, breakdown, category, input, machine, records, step
from bench.goals import judged
from bench.text import NONE, Record, aligned, batch_of, busy


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
        result += [*step.lines(record, found["memory"].get(key)), ""]
        if record.get("breakdown"):
            result += [*breakdown.lines(record), ""]
    for record in found["basis"].values():
        result += [*basis.lines(record), ""]
    for record in found["attach"].values():
        result += [*attach.lines(record), ""]
    for record in found["input"].values():
        result += [*input.lines(record, list(found["step"].values())), ""]
    for record in found["category"].values():
        result += [*category.lines(record), *busy(record), ""]
    results = {kind: list(of_kind.values()) for kind, of_kind in found.items()}
    places = {machine.in_words(record["machine"]): None for of_kind in results.values() for record in of_kind}
    return [*result, *goal_block(results, device), "", *places]


def _of(record: Record, device: str | None) -> bool:
    return device in (None, record["setting"]["device"].split(":")[0])


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
