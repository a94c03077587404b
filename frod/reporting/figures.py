"""Test metrics as figures: every seed of every method, and the difference to the reference."""

from __future__ import annotations

from collections.abc import Mapping

from frod.evaluation import formatting
from frod.evaluation.runs import REFERENCE, SUBJECT, pair_label, word
from frod.reporting.axes import WIDTH, horizontal_axis, padded, short, whisker
from frod.reporting.comparison import Comparison, Headline
from frod.reporting.naming import Look, metric_axis, metric_label
from frod.reporting.svg import Drawing, Scale

LABELS = 112  # room for row labels, left of a plot


def dots(comparison: Comparison, looks: Mapping[str, Look]) -> Drawing:
    """Test metric of every seed of every method on one task: a marker per seed, a bar at the mean.

    A seed has the same height within each row, so it can be followed from method to method.
    """
    shown = [result for result in comparison.results if result.runs]
    top, row = 8, 34
    height = top + row * max(1, len(shown)) + 42
    name = pair_label(comparison.task, comparison.backbone)
    drawing = Drawing(
        WIDTH,
        height,
        f"Test {metric_label(comparison.primary)} by method, {name}",
        "One marker per seed, a bar at the mean of the seeds. "
        + "; ".join(
            f"{looks[r.method].label}: "
            + ", ".join([*map(formatting.points, r.values.values()), *map(word, r.undefined.values())])
            for r in shown
        ),
    )
    every = [100 * value for result in shown for value in result.values.values()]
    if not every:
        drawing.text(WIDTH / 2, top + 22, "no run with a defined metric", anchor="middle", soft=True)
        return drawing
    scale = Scale(*padded(min(every), max(every), least=1.0), LABELS, WIDTH - 14)
    bottom = top + row * len(shown)
    horizontal_axis(drawing, scale, top, bottom, f"test {metric_axis(comparison.primary)}")
    seeds = sorted({seed for result in shown for seed in result.values})
    for index, result in enumerate(shown):
        look, y = looks[result.method], top + row * (index + 0.5)
        drawing.text(LABELS - 10, y + 4, short(look.label, 17), anchor="end")
        if not result.values:
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


def forest(headline: Headline, looks: Mapping[str, Look]) -> Drawing:
    """The method under test less the reference: per task with its seeds and interval, and the mean over tasks."""
    look = looks[SUBJECT]
    rows = list(headline.by_task.items())
    overall = [(("mean over tasks", ""), headline.over_tasks)] if len(rows) > 1 else []
    top, row = 4, 48
    bottom = top + row * len([*rows, *overall])
    name = f"{look.label} − {looks[REFERENCE].label}"
    drawing = Drawing(
        WIDTH,
        bottom + 42,
        f"{name}: difference of the test metric by task",
        "Small markers: the seeds. Large markers: their mean, with its paired 95 % interval. "
        + "; ".join(
            f"{pair_label(*pair)}: {formatting.gain(d.mean)} {formatting.gains(d.low, d.high)}" for pair, d in rows
        ),
    )
    scale = Scale(*_forest_range(headline), 14, WIDTH - 14)
    horizontal_axis(drawing, scale, top, bottom, "difference on test, points")
    drawing.line(scale(0), top, scale(0), bottom)
    for index, (pair, difference) in enumerate([*rows, *overall]):
        y = top + row * index + 31
        label = pair_label(*pair) if pair[1] else pair[0]
        if not pair[1]:
            drawing.line(0, y - 31, WIDTH, y - 31)
        drawing.text(14, y - 15, short(label, 40))
        said = f"{label}, mean of {difference.n}: {formatting.gain(difference.mean, 2)}"
        if difference.has_interval:
            said += f", 95 % interval {formatting.gains(difference.low, difference.high, 2)}"
            ends = 100 * difference.low, 100 * difference.high
            whisker(drawing, scale, look, y, ends, hint=said, upright=False)
        for seed, value in zip(difference.pairs, difference.each) if pair[1] else ():
            hint = f"{label}, seed {seed}: {formatting.gain(value, 2)}"
            drawing.mark(scale.inside(100 * value), y + 9, look, size=2.8, opacity=0.6, hint=hint)
        drawing.mark(scale.inside(100 * difference.mean), y, look, size=5, hint=said)
    return drawing


def _forest_range(headline: Headline) -> tuple[float, float]:
    """Axis of a forest plot in points: what was measured, and intervals as far as they leave it legible.

    With two seeds an interval is often ten times wider than the data; it is then cut, and shown as cut.
    """
    differences = [*headline.by_task.values(), headline.over_tasks]
    data = [0.0] + [100 * value for d in headline.by_task.values() for value in (*d.each, d.mean)]
    ends = [100 * end for d in differences if d.has_interval for end in (d.low, d.high)]
    low, high = min(data), max(data)
    room = 1.5 * max(high - low, 1.0)
    return padded(max(min([low, *ends]), low - room), min(max([high, *ends]), high + room), least=1.0)
