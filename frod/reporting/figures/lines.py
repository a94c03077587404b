"""A quantity over the steps of a training, or over trials: the loss, or the metric that was watched."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from types import MappingProxyType

from frod.reporting.figures.axes import LEFT, Drawing, Scale, nice_ticks, plot, tick_label
from frod.reporting.naming import MethodStyle
from frod.reporting.thinned_curves import Points, mean_curve

CROWD = 8
"""Methods, beyond which the lines of single seeds would hide those of means."""
Curves = Mapping[str, Mapping[int, Points]]
"""By method and seed."""


def draw(
    curves: Curves,
    looks: Mapping[str, MethodStyle],
    *,
    title: str,
    axis: str,
    over: str = "steps",
    first: float = 0,
    log: bool | None = None,
    ended: Mapping[str, Collection[int]] = MappingProxyType({}),
) -> Drawing:
    """Each seed a thin line, the mean of a method's seeds a thick one with its markers; of a crowd, means alone.

    Parameters
    ----------
    axis, over : str
        What the values are, and over what.
    first : float
        Where the axis of steps begins.
    log : bool, optional
        Logarithmic axis; None: where all values are positive and span a factor of ten.
    ended : mapping of method to seeds
        Runs that diverged: a thin line to a cross, in no mean. The axis is the others', as a loss on its way to
        infinity would press them flat.
    """
    shown = {method: {seed: c for seed, c in seeds.items() if c} for method, seeds in curves.items()}
    shown = {method: seeds for method, seeds in shown.items() if seeds}
    held = {
        method: {seed: curve for seed, curve in seeds.items() if seed not in ended.get(method, ())}
        for method, seeds in shown.items()
    }
    values = _values(held) or _values(shown)
    if log is None:
        log = bool(values) and min(values) > 0 and max(values) >= 10 * min(values)
    steps = [step for seeds in shown.values() for curve in seeds.values() for step, _ in curve]
    x = Scale(first, max([*steps, first + 1]))
    labels = ", ".join(looks[method].label for method in shown)
    widths = "; thin: seeds, thick: their mean" if any(len(seeds) > 1 for seeds in shown.values()) else ""
    drawing, x, y = plot(
        title,
        f"{axis} over {over}{widths}. Methods: {labels}.",
        [looks[method] for method in shown],
        x,
        Scale(*_range(values or [0.0], log), log=log),
        {tick: tick_label(tick) for tick in nice_ticks(x.low, x.high) if tick == int(tick)},
        f"{axis}{', logarithmic' if log else ''}, over {over}",
    )
    if not values:
        drawing.text((LEFT + x.end) / 2, y.start - 90, "no finite value", anchor="middle", soft=True)
    for method, seeds in shown.items():
        for seed, curve in seeds.items():
            hint = f"{looks[method].label}, seed {seed}"
            if seed not in held[method]:
                _ended(drawing, [(x(step), y.inside(value)) for step, value in curve], looks[method], hint)
            elif len(seeds) > 1 and len(shown) <= CROWD:
                points = [(x(step), y(value)) for step, value in curve]
                drawing.stroke(points, looks[method], width=1, opacity=0.4, hint=hint)
    for method, seeds in held.items():
        look, mean = looks[method], mean_curve(list(seeds.values()))
        drawing.stroke([(x(step), y(value)) for step, value in mean], look, width=2.4, hint=look.label)
        for step, value in some([point for point in mean if math.isfinite(y(point[1]))], look.slot):
            drawing.mark(x(step), y(value), look, size=3.6, hint=f"{look.label} at {step:.0f} {over}: {value:.4g}")
    return drawing


def some(points: Points, slot: int, wanted: int = 5) -> Points:
    """A few points of a curve to carry markers, at other places for each method, and the last one."""
    if len(points) <= wanted:
        return points
    stride = len(points) // wanted
    return [*points[slot % stride : -1 : stride], points[-1]]


def _values(curves: Curves) -> list[float]:
    every = (value for seeds in curves.values() for curve in seeds.values() for _, value in curve)
    return [value for value in every if math.isfinite(value)]


def _range(values: list[float], log: bool) -> tuple[float, float]:
    """With a small margin, by ratio on a logarithmic axis."""
    low, high = min(values), max(values)
    if log:
        return low / 1.1, high * 1.1
    margin = 0.05 * (high - low) or max(abs(high) * 0.05, 0.05)
    return low - margin, high + margin


def _ended(drawing: Drawing, points: Points, look: MethodStyle, hint: str) -> None:
    """The curve of a run that diverged, with a cross at its last finite point."""
    finite = [point for point in points if math.isfinite(point[1])]
    if finite:
        (x, y), gap = finite[-1], (math.nan, math.nan)
        drawing.stroke(points, look, width=1, opacity=0.7, hint=f"{hint}, which diverged")
        cross = [(x - 4, y - 4), (x + 4, y + 4), gap, (x - 4, y + 4), (x + 4, y - 4)]
        drawing.stroke(cross, look, width=1.8, hint=f"{hint}: diverged")
