"""What the figures share: their width, axes, ranges, legends and whiskers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from frod.reporting.naming import Look
from frod.reporting.svg import Drawing, Scale, log_ticks, nice_ticks, tick_label

WIDTH = 360
"""Of every figure: one fills a phone, several stand side by side on a desk."""


def horizontal_axis(drawing: Drawing, scale: Scale, top: float, bottom: float, name: str) -> None:
    """Ticks and name below a plot whose values run to the right, with grid lines through it."""
    for tick in nice_ticks(scale.low, scale.high, 5):
        drawing.line(scale(tick), top, scale(tick), bottom, soft=True)
        drawing.text(scale(tick), bottom + 16, tick_label(tick), size=11, anchor="middle", soft=True)
    drawing.line(scale.start, bottom, scale.end, bottom)
    drawing.text((scale.start + scale.end) / 2, bottom + 34, name, size=11, anchor="middle", soft=True)


def vertical_axis(drawing: Drawing, scale: Scale, left: float, right: float) -> None:
    """Ticks left of a plot, with grid lines through it."""
    for tick in log_ticks(scale.low, scale.high) if scale.log else nice_ticks(scale.low, scale.high, 4):
        drawing.line(left, scale(tick), right, scale(tick), soft=True)
        drawing.text(left - 6, scale(tick) + 4, tick_label(tick), size=11, anchor="end", soft=True)


def below(drawing: Drawing, scale: Scale, bottom: float, ticks: Mapping[float, str], name: str) -> None:
    """The line below a plot, with labelled ticks and a name."""
    drawing.line(scale.start, bottom, scale.end, bottom)
    for at, label in ticks.items():
        drawing.text(scale(at), bottom + 16, label, size=11, anchor="middle", soft=True)
    drawing.text((scale.start + scale.end) / 2, bottom + 34, name, size=11, anchor="middle", soft=True)


def whisker(
    drawing: Drawing, scale: Scale, look: Look, across: float, ends: tuple[float, float], *, hint: str, upright: bool
) -> None:
    """An interval at `across` on the other axis, with an arrow head on a side where it goes beyond the axis."""
    low, high = ends

    def place(along: float, aside: float) -> tuple[float, float]:
        return (across + aside, along) if upright else (along, across + aside)

    start, end = scale.inside(low), scale.inside(high)
    way = 1 if end > start else -1
    drawing.stroke([place(start, 0), place(end, 0)], look, width=1.8, hint=hint)
    for at, beyond, inward in ((start, low < scale.low, way), (end, high > scale.high, -way)):
        aside = 4 if beyond else 5
        depth = 6 * inward if beyond else 0
        drawing.stroke([place(at + depth, -aside), place(at, 0), place(at + depth, aside)], look, width=1.8)


def padded(low: float, high: float, *, least: float) -> tuple[float, float]:
    """A range with a margin, at least `least` wide: equal values must not fill an axis with noise."""
    extra = max((least - (high - low)) / 2, 0) + 0.06 * max(high - low, least)
    return low - extra, high + extra


def value_range(values: Sequence[float], log: bool) -> tuple[float, float]:
    """A range with a small margin, by ratio for a logarithmic axis."""
    low, high = min(values), max(values)
    if log:
        return low / 1.1, high * 1.1
    margin = 0.05 * (high - low) or max(abs(high) * 0.05, 0.05)
    return low - margin, high + margin


def legend(drawing: Drawing, looks: Sequence[Look]) -> float:
    """Markers with labels, wrapped; returns where the plot may begin."""
    x, y = 22.0, 14.0
    for look in looks:
        width = 24 + 5.8 * len(short(look.label, 24))
        if x > 22 and x + width > WIDTH:
            x, y = 22.0, y + 18
        drawing.stroke([(x - 7, y - 4), (x + 9, y - 4)], look, width=2.4)
        drawing.mark(x + 1, y - 4, look, size=3.6)
        drawing.text(x + 14, y, short(look.label, 24), size=11)
        x += width + 8
    return y + 8


def short(label: str, most: int) -> str:
    """A label of at most so many characters."""
    return label if len(label) <= most else label[: most - 1] + "…"
