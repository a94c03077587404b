"""Test metric of every seed of every method on one task: a marker per seed, a bar at the mean."""

from __future__ import annotations

from collections.abc import Mapping

from frod.evaluation import formatting
from frod.provenance.run_keys import pair_label, word
from frod.reporting.comparison import Comparison
from frod.reporting.figures.axes import WIDTH, Drawing, Scale, horizontal_axis, padded, short
from frod.reporting.naming import MethodStyle, metric_axis, metric_label

LABELS = 112  # room for row labels, left of the plot


def draw(comparison: Comparison, looks: Mapping[str, MethodStyle]) -> Drawing:
    """A row per method. A seed has the same height within each, so it can be followed from method to method."""
    shown = [result for result in comparison.results if result.runs]
    top, row = 8, 34
    bottom = top + row * max(1, len(shown))
    name = pair_label(comparison.task, comparison.backbone)
    said = "; ".join(
        f"{looks[r.method].label}: "
        + ", ".join([*map(formatting.points, r.values.values()), *map(word, r.undefined.values())])
        for r in shown
    )
    title = f"Test {metric_label(comparison.primary)} by method, {name}"
    drawing = Drawing(WIDTH, bottom + 42, title, f"One marker per seed, a bar at the mean of the seeds. {said}")
    every = [100 * value for result in shown for value in result.values.values()]
    if not every:
        drawing.text(WIDTH / 2, top + 22, "no run with a defined metric", anchor="middle", soft=True)
        return drawing
    scale = Scale(*padded(min(every), max(every), least=1.0), LABELS, WIDTH - 14)
    horizontal_axis(drawing, scale, top, bottom, f"test {metric_axis(comparison.primary)}")
    seeds = sorted({seed for result in shown for seed in result.values})
    for index, result in enumerate(shown):
        look, y = looks[result.method], top + row * (index + 0.5)
        drawing.text(LABELS - 10, y + 4, short(look.label, 17), anchor="end")
        if result.spread is None:
            drawing.text(LABELS + 6, y + 4, result.shown, size=11, soft=True)
            continue
        mean = scale(100 * result.spread.mean)
        hint = f"{look.label}, mean of {len(result.values)}: {formatting.points(result.spread.mean, 2)}"
        drawing.stroke([(mean, y - 13), (mean, y + 13)], look, width=2.5, hint=hint)
        for seed, value in result.values.items():
            offset = 0 if len(seeds) == 1 else (seeds.index(seed) / (len(seeds) - 1) - 0.5) * 16
            hint = f"{look.label}, seed {seed}: {formatting.points(value, 2)}"
            drawing.mark(scale(100 * value), y + offset, look, size=4, opacity=0.75, hint=hint)
    return drawing
