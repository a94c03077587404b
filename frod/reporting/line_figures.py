"""Figures of lines: a quantity over the steps of a training, and the spectrum of what a training changed."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from frod.reporting.axes import WIDTH, below, legend, value_range, vertical_axis
from frod.reporting.curves import Points, mean_curve
from frod.reporting.naming import Look
from frod.reporting.spectra import FLOOR
from frod.reporting.svg import Drawing, Scale, nice_ticks, tick_label

LEFT, RIGHT, HEIGHT = 50, WIDTH - 14, 154


def lines(
    curves: Mapping[str, Mapping[int, Points]],
    looks: Mapping[str, Look],
    *,
    title: str,
    axis: str,
    log: bool | None = None,
    ended: Mapping[str, Collection[int]] = MappingProxyType({}),
) -> Drawing:
    """A quantity over steps: each seed a thin line, the mean of a method's seeds a thick one with its markers.

    Parameters
    ----------
    curves : mapping of method to the curves of its seeds
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
    every = [point for seeds in shown.values() for curve in seeds.values() for point in curve]
    values = _values(held) or _values(shown)
    drawing, top = _started([looks[m] for m in shown], title, f"{axis} over steps; thin: seeds, thick: their mean.")
    if not values:
        drawing.text(WIDTH / 2, top + 60, "no finite value", anchor="middle", soft=True)
        return drawing
    if log is None:
        log = min(values) > 0 and max(values) >= 10 * min(values)
    steps = [step for step, _ in every]
    x = Scale(min([0.0, *steps]), max([*steps, 1.0]), LEFT, RIGHT)
    y = Scale(*value_range(values, log), top + HEIGHT, top + 4, log=log)
    vertical_axis(drawing, y, LEFT, RIGHT)
    ticks = {tick: tick_label(tick) for tick in nice_ticks(x.low, x.high, 5)}
    below(drawing, x, top + HEIGHT, ticks, f"{axis}{', logarithmic' if log else ''}, over steps")
    for method, seeds in shown.items():
        for seed, curve in seeds.items():
            hint = f"{looks[method].label}, seed {seed}"
            if seed not in held[method]:
                _ended(drawing, [(x(step), y.inside(value)) for step, value in curve], looks[method], hint)
            elif len(seeds) > 1:
                points = [(x(step), y(value)) for step, value in curve]
                drawing.stroke(points, looks[method], width=1, opacity=0.4, hint=hint)
    for method, seeds in held.items():
        look, mean = looks[method], mean_curve(list(seeds.values()))
        drawing.stroke([(x(step), y(value)) for step, value in mean], look, width=2.4, hint=look.label)
        for step, value in _some([point for point in mean if math.isfinite(y(point[1]))], look.slot):
            drawing.mark(x(step), y(value), look, size=3.6, hint=f"{look.label}, step {step:.0f}: {value:.4g}")
    return drawing


def _values(curves: Mapping[str, Mapping[int, Points]]) -> list[float]:
    every = (value for seeds in curves.values() for curve in seeds.values() for _, value in curve)
    return [value for value in every if math.isfinite(value)]


def _ended(drawing: Drawing, points: Points, look: Look, hint: str) -> None:
    """The curve of a run that diverged, with a cross at its last finite point."""
    finite = [point for point in points if math.isfinite(point[1])]
    if finite:
        (x, y), gap = finite[-1], (math.nan, math.nan)
        drawing.stroke(points, look, width=1, opacity=0.7, hint=f"{hint}, which diverged")
        cross = [(x - 4, y - 4), (x + 4, y + 4), gap, (x - 4, y + 4), (x + 4, y - 4)]
        drawing.stroke(cross, look, width=1.8, hint=f"{hint}: diverged")


def spectrum(curves: Mapping[str, Points], looks: Mapping[str, Look], *, title: str) -> Drawing:
    """Singular values over the largest, against their index over how many there are; one line a method.

    Parameters
    ----------
    curves : mapping of method to its curve
        Of `frod.reporting.spectra.median_spectrum`.
    """
    said = "Singular values of W' - W over the largest, median over layers and seeds; the axis ends at "
    said += f"{tick_label(FLOOR)}."
    drawing, top = _started([looks[method] for method in curves], title, said)
    x = Scale(0, 1, LEFT, RIGHT)
    y = Scale(FLOOR, 1.3, top + HEIGHT, top + 4, log=True)
    vertical_axis(drawing, y, LEFT, RIGHT)
    ticks = {share: tick_label(share) for share in (0, 0.25, 0.5, 0.75, 1)}
    below(drawing, x, top + HEIGHT, ticks, "share of the singular values, from the largest")
    for method, curve in curves.items():
        look = looks[method]
        drawing.stroke([(x(share), y.inside(value)) for share, value in curve], look, width=2.4, hint=look.label)
        for share, value in _some(curve, look.slot):
            said = f"{look.label}: after {100 * share:.0f} % of them, {value:.2g} of the largest"
            drawing.mark(x(share), y.inside(value), look, size=3.6, hint=said)
    return drawing


def _started(looks: Sequence[Look], title: str, description: str) -> tuple[Drawing, float]:
    """A drawing with its legend, and where the plot begins."""
    labels = ", ".join(look.label for look in looks)
    drawing = Drawing(WIDTH, 250, title, f"{description} Methods: {labels}.")
    top = legend(drawing, looks)
    drawing.height = top + HEIGHT + 42
    return drawing, top


def _some(points: Points, slot: int, wanted: int = 5) -> Points:
    """A few points of a curve to carry markers, at other places for each method, and the last one."""
    if len(points) <= wanted:
        return points
    stride = len(points) // wanted
    return [*points[slot % stride : -1 : stride], points[-1]]
