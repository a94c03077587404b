"""The figures of a report, each 360 units wide: one fills a phone, several stand side by side on a desk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from frod.evaluation.statistics import Difference
from frod.reporting import formatting
from frod.reporting.comparison import Comparison, Headline
from frod.reporting.curves import Points, mean_curve
from frod.reporting.naming import Look, metric_axis, metric_label, pair_label
from frod.reporting.svg import Drawing, Scale, log_ticks, nice_ticks, tick_label

WIDTH = 360
LABELS = 112  # room for row labels, left of a plot


def dots(comparison: Comparison, looks: Mapping[str, Look]) -> Drawing:
    """Test metric of every seed of every method on one task: a marker per seed, a bar at the mean.

    A seed has the same height within each row, so it can be followed from method to method.
    """
    shown = [result for result in comparison.results if result.values]
    top, row = 8, 34
    height = top + row * max(1, len(shown)) + 42
    name = pair_label(comparison.task, comparison.backbone)
    drawing = Drawing(
        WIDTH,
        height,
        f"Test {metric_label(comparison.primary)} by method, {name}",
        "One marker per seed, a bar at the mean of the seeds. "
        + "; ".join(
            f"{looks[r.method].label}: {', '.join(formatting.points(v) for v in r.values.values())}" for r in shown
        ),
    )
    if not shown:
        drawing.text(WIDTH / 2, top + 22, "no run with a defined metric", anchor="middle", soft=True)
        return drawing
    every = [100 * value for result in shown for value in result.values.values()]
    scale = Scale(*_padded(min(every), max(every), least=1.0), LABELS, WIDTH - 14)
    bottom = top + row * len(shown)
    _horizontal_axis(drawing, scale, top, bottom, f"test {metric_axis(comparison.primary)}")
    seeds = sorted({seed for result in shown for seed in result.values})
    for index, result in enumerate(shown):
        look, y = looks[result.method], top + row * (index + 0.5)
        drawing.text(LABELS - 10, y + 4, _short(look.label, 17), anchor="end")
        mean = scale(100 * result.spread.mean)
        drawing.stroke([(mean, y - 13), (mean, y + 13)], look, width=2.5)
        for seed, value in result.values.items():
            offset = 0 if len(seeds) == 1 else (seeds.index(seed) / (len(seeds) - 1) - 0.5) * 16
            hint = f"{look.label}, seed {seed}: {formatting.points(value, 2)}"
            drawing.mark(scale(100 * value), y + offset, look, size=4, opacity=0.75, hint=hint)
    return drawing


def forest(headline: Headline, looks: Mapping[str, Look]) -> Drawing:
    """Difference to the reference: per task with its seeds and interval, and the mean over tasks."""
    look = looks[headline.method]
    rows = list(headline.by_task.items())
    overall = [(("mean over tasks", ""), headline.over_tasks)] if len(rows) > 1 else []
    top, row = 4, 48
    bottom = top + row * len([*rows, *overall])
    name = f"{look.label} − {looks[headline.reference].label}"
    drawing = Drawing(
        WIDTH,
        bottom + 42,
        f"{name}: difference of the test metric by task",
        "Small markers: the seeds. Large markers: their mean, with its paired 95 % interval. "
        + "; ".join(
            f"{pair_label(*pair)}: {formatting.signed(d.mean)} {formatting.interval(d.low, d.high)}" for pair, d in rows
        ),
    )
    scale = Scale(*_forest_range(headline), 14, WIDTH - 14)
    _horizontal_axis(drawing, scale, top, bottom, "difference on test, points")
    drawing.line(scale(0), top, scale(0), bottom)
    for index, (pair, difference) in enumerate([*rows, *overall]):
        y = top + row * index + 31
        label = pair_label(*pair) if pair[1] else pair[0]
        if not pair[1]:
            drawing.line(0, y - 31, WIDTH, y - 31)
        drawing.text(14, y - 15, _short(label, 40))
        if difference.has_interval:
            _whisker(drawing, scale, look, y, difference)
        for seed, value in zip(difference.pairs, difference.each) if pair[1] else ():
            hint = f"{label}, seed {seed}: {formatting.signed(value, 2)}"
            drawing.mark(scale.inside(100 * value), y + 9, look, size=2.8, opacity=0.6, hint=hint)
        drawing.mark(scale.inside(100 * difference.mean), y, look, size=5)
    return drawing


def lines(
    curves: Mapping[str, Sequence[Points]],
    looks: Mapping[str, Look],
    *,
    title: str,
    axis: str,
    log: bool | None = None,
) -> Drawing:
    """A quantity over steps: each seed a thin line, the mean of a method's seeds a thick one with its markers.

    Parameters
    ----------
    curves : mapping of method to the curves of its seeds
    log : bool, optional
        Logarithmic axis; None: where all values are positive and span a factor of ten.
    """
    shown = {method: [c for c in seeds if c] for method, seeds in curves.items()}
    shown = {method: seeds for method, seeds in shown.items() if seeds}
    values = [v for seeds in shown.values() for curve in seeds for _, v in curve if math.isfinite(v)]
    steps = [s for seeds in shown.values() for curve in seeds for s, _ in curve]
    labels = ", ".join(looks[method].label for method in shown)
    drawing = Drawing(WIDTH, 250, title, f"{axis} over steps; thin: seeds, thick: their mean. Methods: {labels}.")
    top = _legend(drawing, [looks[method] for method in shown])
    drawing.height = top + 196
    if not values:
        drawing.text(WIDTH / 2, top + 60, "no finite value", anchor="middle", soft=True)
        return drawing
    if log is None:
        log = min(values) > 0 and max(values) >= 10 * min(values)
    bottom = top + 154
    y_scale = Scale(*_range(values, log), bottom, top + 4, log=log)
    x_scale = Scale(min([0.0, *steps]), max([*steps, 1.0]), 50, WIDTH - 14)
    for tick in log_ticks(y_scale.low, y_scale.high) if log else nice_ticks(y_scale.low, y_scale.high, 4):
        drawing.line(x_scale.start, y_scale(tick), x_scale.end, y_scale(tick), soft=True)
        drawing.text(x_scale.start - 6, y_scale(tick) + 4, tick_label(tick), size=11, anchor="end", soft=True)
    drawing.line(x_scale.start, bottom, x_scale.end, bottom)
    for tick in nice_ticks(x_scale.low, x_scale.high, 5):
        drawing.text(x_scale(tick), bottom + 16, tick_label(tick), size=11, anchor="middle", soft=True)
    scale_name = ", logarithmic" if log else ""
    drawing.text(
        (x_scale.start + x_scale.end) / 2,
        bottom + 34,
        f"{axis}{scale_name}, over steps",
        size=11,
        anchor="middle",
        soft=True,
    )
    for method, seeds in shown.items():
        if len(seeds) > 1:
            for curve in seeds:
                drawing.stroke([(x_scale(s), y_scale(v)) for s, v in curve], looks[method], width=1, opacity=0.4)
    for method, seeds in shown.items():
        mean = [(x_scale(s), y_scale(v)) for s, v in mean_curve(seeds)]
        drawing.stroke(mean, looks[method], width=2.4)
        for x, y in _some(mean, looks[method].slot):
            drawing.mark(x, y, looks[method], size=3.6)
    return drawing


def _horizontal_axis(drawing: Drawing, scale: Scale, top: float, bottom: float, name: str) -> None:
    for tick in nice_ticks(scale.low, scale.high, 5):
        drawing.line(scale(tick), top, scale(tick), bottom, soft=True)
        drawing.text(scale(tick), bottom + 16, tick_label(tick), size=11, anchor="middle", soft=True)
    drawing.line(scale.start, bottom, scale.end, bottom)
    drawing.text((scale.start + scale.end) / 2, bottom + 34, name, size=11, anchor="middle", soft=True)


def _whisker(drawing: Drawing, scale: Scale, look: Look, y: float, difference: Difference) -> None:
    """An interval, with an arrow head on a side where it goes beyond the axis."""
    low, high = 100 * difference.low, 100 * difference.high
    left, right = scale.inside(low), scale.inside(high)
    drawing.stroke([(left, y), (right, y)], look, width=1.8)
    for at, beyond, way in ((left, low < scale.low, 1), (right, high > scale.high, -1)):
        end = [(at + 6 * way, y - 4), (at, y), (at + 6 * way, y + 4)] if beyond else [(at, y - 5), (at, y + 5)]
        drawing.stroke(end, look, width=1.8)


def _forest_range(headline: Headline) -> tuple[float, float]:
    """Axis of a forest plot in points: what was measured, and intervals as far as they leave it legible.

    With two seeds an interval is often ten times wider than the data; it is then cut, and shown as cut.
    """
    differences = [*headline.by_task.values(), headline.over_tasks]
    data = [0.0] + [100 * value for d in headline.by_task.values() for value in (*d.each, d.mean)]
    ends = [100 * end for d in differences if d.has_interval for end in (d.low, d.high)]
    low, high = min(data), max(data)
    room = 1.5 * max(high - low, 1.0)
    return _padded(max(min([low, *ends]), low - room), min(max([high, *ends]), high + room), least=1.0)


def _padded(low: float, high: float, *, least: float) -> tuple[float, float]:
    """A range with a margin, at least `least` wide: equal values must not fill an axis with noise."""
    extra = max((least - (high - low)) / 2, 0) + 0.06 * max(high - low, least)
    return low - extra, high + extra


def _range(values: Sequence[float], log: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if log:
        return low / 1.1, high * 1.1
    margin = 0.05 * (high - low) or max(abs(high) * 0.05, 0.05)
    return low - margin, high + margin


def _legend(drawing: Drawing, looks: Sequence[Look]) -> float:
    """Markers with labels, wrapped; returns where the plot may begin."""
    x, y = 22.0, 14.0
    for look in looks:
        width = 24 + 5.8 * len(_short(look.label, 24))
        if x > 22 and x + width > WIDTH:
            x, y = 22.0, y + 18
        drawing.stroke([(x - 7, y - 4), (x + 9, y - 4)], look, width=2.4)
        drawing.mark(x + 1, y - 4, look, size=3.6)
        drawing.text(x + 14, y, _short(look.label, 24), size=11)
        x += width + 8
    return y + 8


def _some(points: Points, slot: int, wanted: int = 5) -> Points:
    """A few points of a curve to carry markers, at other places for each method, and the last one."""
    if len(points) <= wanted:
        return points
    stride = len(points) // wanted
    return [*points[slot % stride : -1 : stride], points[-1]]


def _short(label: str, most: int) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"
