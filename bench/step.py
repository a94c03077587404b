"""Time one training step of each method side by side: `python -m bench.step --model clip-vit-b32 --batch 64`.

All models are built first and take turns step by step in one process, forwards and backwards (A B C, C B A, ...), so
that what else the machine does meets all alike; the first round is not counted. With `--turns block`, for models that
do not fit next to each other, one model at a time is in memory for a block of steps, and the blocks take turns.
A step is forward, backward and AdamW. Ratios are taken round by round, then the median. Writes step-KEY.json.
"""

from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from bench import breakdown, records
from bench.methods import LABELS, extract, needs_basis, trained
from bench.models import SHAPES
from bench.settings import Setting, parser
from bench.text import NONE, Record, aligned, batch_of, busy, digits, say, title
from bench.training import fresh, prepared, release, stepper, summarise, timed, turn
from frod.method.plan import CategoryPlan, floor, plan_model

WHAT = "seconds of one optimiser step; ratios round by round, median over rounds; first: the uncounted first step"
Rows = dict[str, dict[str, Any]]


def measure(setting: Setting, profiled: tuple[str, ...] = ()) -> dict[str, Any]:
    """Take a setting's step times, and the breakdown of the methods named; return the result."""
    record = records.start("step", WHAT, setting)
    rows: Rows = {method: {"seconds": []} for method in setting.methods}
    rows_of_plan, basis, basis_seconds = of_plain_model(setting)
    record["targets"] = sum(row.layers for row in rows_of_plan)
    record["plan"] = {row.category: row.strategy for row in rows_of_plan}
    record["floor"] = floor(rows_of_plan)
    release()
    (by_steps if setting.turns == "step" else by_blocks)(setting, rows, basis)
    for method, row in rows.items():
        if needs_basis(method) and "setup_seconds" in row:
            row["setup_seconds"] += basis_seconds
    summarise(rows)
    record["methods"] = rows
    release()
    record["breakdown"] = {
        method: profile(setting, method, basis) for method in profiled if "seconds" in rows.get(method, {})
    }
    return record


def of_plain_model(setting: Setting) -> tuple[list[CategoryPlan], Any, float]:
    """How FRoD's layers are computed, and if a method needs it the basis, with the seconds that it took."""
    model, targets = fresh(setting), SHAPES[setting.model].targets
    found: list[Any] = []
    seconds = 0.0
    if any(needs_basis(method) for method in setting.methods):
        seconds = timed(lambda: found.append(extract(model, targets)), setting.device)
    plan = plan_model(
        model,
        targets,
        tokens=setting.tokens,
        sparse_rate=setting.sparse_rate,
        device=torch.device(setting.device).type,
        itemsize=getattr(torch, setting.dtype).itemsize,
    )
    return plan, found[0] if found else None, seconds


def by_steps(setting: Setting, rows: Rows, basis: Any) -> None:
    """All models in memory, one step each in turn."""
    steps: dict[str, Callable[[], None]] = {}
    for method in setting.methods:
        steps[method] = start(setting, method, basis, rows[method])
        say(f"{method}: set up in {rows[method]['setup_seconds']:.2f} s")
    for number in range(-1, setting.rounds):
        for method in turn(list(steps), number):
            seconds = timed(steps[method], setting.device)
            if number < 0:
                rows[method]["first"] = seconds
            else:
                rows[method]["seconds"].append(seconds)
            say(f"round {number + 1} of {setting.rounds}: {method} {seconds:.3f} s")


def by_blocks(setting: Setting, rows: Rows, basis: Any) -> None:
    """One model in memory at a time, for its first step and a block of timed ones."""
    for number in range(setting.rounds):
        for method in turn(setting.methods, number):
            row = rows[method]
            if "failed" in row:
                continue
            try:
                step = start(setting, method, basis, row)
                row.setdefault("first", timed(step, setting.device))
                block = [timed(step, setting.device) for _ in range(setting.block_steps)]
            except torch.OutOfMemoryError:
                rows[method] = {"failed": "out of memory"}
                say(f"{method}: out of memory")
                continue
            finally:
                step = None
                release()
            row["seconds"].append(median(block))
            row.setdefault("blocks", []).append(block)
            say(f"round {number + 1} of {setting.rounds}: {method} {row['seconds'][-1]:.3f} s")


def start(setting: Setting, method: str, basis: Any, row: dict[str, Any]) -> Callable[[], None]:
    """Build and set up a model; return its step."""
    model, seconds = prepared(setting, method, basis)
    row |= {"setup_seconds": seconds, "trained": trained(model)}
    return stepper(model, setting)


def profile(setting: Setting, method: str, basis: Any) -> dict[str, Any]:
    """Where a step of a method goes, on a model of its own."""
    model, _ = prepared(setting, method, basis)
    result = breakdown.measure(stepper(model, setting), setting)
    del model
    release()
    say(f"{method}: profiled")
    return result


def lines(record: Record, memory: Record | None = None) -> list[str]:
    """Step times of one configuration, with the peaks of memory where they were taken."""
    setting, floor = record["setting"], record["floor"]
    head = f"{title(setting)}, {batch_of(setting)}, sparse rate {setting['sparse_rate']}: floor {floor:.2f}"
    rows = []
    for method, row in record["methods"].items():
        used = {} if memory is None else memory["methods"].get(method, {})
        rows.append([LABELS[method], *_step_cells(method, row, floor), *_memory_cells(used)])
    names = ["one step", "trained", "first s", "s", "ratio", "range", "to peft", "to floor", "peak MiB", "ratio"]
    return [head, *aligned(names, rows), *busy(record)]


def _step_cells(method: str, row: Record, floor: float) -> list[str]:
    if "failed" in row:
        return [row["failed"], *[NONE] * 6]
    to = row.get("ratio_to", {})
    ratio, peft = to.get("full_ft"), to.get("peft_frod")
    return [
        f"{row['trained']:,}",
        digits(row["first"]),
        digits(row["median"]),
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


def main() -> None:
    """Parse, measure, write, print."""
    command = parser(__doc__)
    command.add_argument("--profile", nargs="*", default=["full_ft", "frod"], help="methods whose step is broken down")
    arguments = command.parse_args()
    profiled = tuple(arguments.profile)
    records.make(
        arguments,
        lambda setting: measure(setting, profiled),
        lambda record: [*lines(record), "", *breakdown.lines(record)],
        key="key",
    )


if __name__ == "__main__":
    main()
