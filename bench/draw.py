"""Draw the step times of bench/results as bars: `python -m bench.draw` writes docs/step.svg."""

from pathlib import Path
from typing import Any

from bench import records
from bench.methods import LABELS
from bench.settings import RESULTS
from bench.text import batch_of, title
from frod.reporting.figures.axes import GRID, Drawing, Scale

OUT = Path(__file__).parents[1] / "docs" / "step.svg"
WIDTH, LEFT, RIGHT, BAR, GAP, HEAD = 720.0, 150.0, 600.0, 20.0, 7.0, 52.0
COLOUR, OTHER = "#0072b2", "#a8a8a8"


def draw(found: list[dict[str, Any]]) -> str:
    """Bars of median seconds for each result of `bench.step`, ours in colour, with the ratio to full fine-tuning.

    Every result has a scale of its own; whiskers are the extremes over rounds.
    """
    rows = sum(len(record["methods"]) for record in found)
    height = len(found) * HEAD + rows * (BAR + GAP) + 14
    text = "; ".join(
        f"{title(record['setting'])}, {batch_of(record['setting'])}: "
        + ", ".join(f"{LABELS[name]} {row['median']:.2f} s" for name, row in record["methods"].items())
        for record in found
    )
    drawing = Drawing(WIDTH, height, "Seconds of one training step", text)
    y = 0.0
    for record in found:
        setting = record["setting"]
        drawing.text(LEFT, y + 28, f"{title(setting)}, {batch_of(setting)}", size=13)
        drawing.text(LEFT, y + 42, "seconds of one step; × full fine-tuning", size=11, soft=True)
        y += HEAD
        scale = Scale(0, max(max(row["seconds"]) for row in record["methods"].values()), LEFT, RIGHT)
        for name, row in record["methods"].items():
            _bar(drawing, y, LABELS[name], row, scale, ours=name == "frod")
            y += BAR + GAP
    return drawing.render()


def _bar(drawing: Drawing, y: float, label: str, row: dict[str, Any], scale: Scale, *, ours: bool) -> None:
    middle, end = y + BAR / 2 + 4, scale(row["median"])
    drawing.text(LEFT - 8, middle, label, anchor="end")
    drawing.add("rect", x=LEFT, y=y, width=end - LEFT, height=BAR, fill=COLOUR if ours else OTHER)
    low, high = scale(min(row["seconds"])), scale(max(row["seconds"]))
    drawing.add("line", x1=low, y1=y + BAR / 2, x2=high, y2=y + BAR / 2, stroke="#1b1b1b", stroke_width=1)
    drawing.text(max(end, high) + 6, middle, f"{row['median']:.2f} s, {row['ratio_to']['full_ft']['median']:.2f} ×")
    drawing.add("line", x1=LEFT, y1=y - GAP / 2, x2=LEFT, y2=y + BAR + GAP / 2, stroke=GRID)


def main() -> None:
    """Read the results of the CPU, draw, write."""
    found = [record for record in records.read(RESULTS, "step").values() if record["setting"]["device"] == "cpu"]
    if not found:
        raise SystemExit(f"{RESULTS} has no step times of a CPU; run make bench first.")
    found.sort(key=lambda record: -record["setting"]["batch"])
    OUT.write_text(draw(found), "utf-8")
    print(OUT.relative_to(Path.cwd()) if OUT.is_relative_to(Path.cwd()) else OUT)


if __name__ == "__main__":
    main()
