"""What the figures are drawn with: an SVG, scales, axes, a legend and whiskers.

By hand rather than by a plotting library: a library's bytes change with its version, and the audit compares a report
byte by byte. Text stays text at the page's own size on a phone, and colours follow the reader's light or dark ground
through classes; they also stand as attributes, so that a figure looks right on its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import markupsafe

from frod.characters import visible
from frod.reporting.naming import MethodStyle

WIDTH = 360
"""Of every figure: one fills a phone, several stand side by side on a desk."""
LEFT, HEIGHT = 50, 154  # of a plot within its figure
INK, SOFT, GRID = "#1b1b1b", "#5f5f5f", "#dddddd"
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_CORNERS = {
    "square": ((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)),
    "triangle": ((0, -1.15), (1.1, 0.8), (-1.1, 0.8)),
    "wedge": ((0, 1.15), (1.1, -0.8), (-1.1, -0.8)),
    "diamond": ((0, -1.25), (1.1, 0), (0, 1.25), (-1.1, 0)),
    "bar": ((-0.4, -1.2), (0.4, -1.2), (0.4, 1.2), (-0.4, 1.2)),
}


def escape(text: str) -> str:
    """Text as XML holds it; what a reader would not see is shown."""
    return str(markupsafe.escape(visible(text)))


@dataclass
class Drawing:
    """An SVG of a width and height in its own units, which are pixels on the page where there is room."""

    width: float
    height: float
    title: str
    description: str
    parts: list[str] = field(default_factory=list)

    def add(self, tag: str, text: str | None = None, *, hint: str | None = None, **attributes: object) -> None:
        """Append an element; `class_` and `stroke_width` become class and stroke-width; None is left out."""
        written = "".join(
            f' {name.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
            for name, value in attributes.items()
            if value is not None
        )
        inside = f"{escape(text or '')}" + ("" if hint is None else f"<title>{escape(hint)}</title>")
        self.parts.append(f"<{tag}{written}>{inside}</{tag}>" if inside else f"<{tag}{written}/>")

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 12,
        anchor: str = "start",
        soft: bool = False,
        halo: bool = True,
    ) -> None:
        """A line of text; `anchor` start, middle or end. A halo keeps it legible where a grid line passes behind it."""
        colour = {"fill": SOFT, "class_": "soft"} if soft else {"fill": INK, "class_": "ink"}
        ground = {"stroke": "#ffffff", "stroke_width": "3", "paint_order": "stroke", "stroke_linejoin": "round"}
        anchored = None if anchor == "start" else anchor
        self.add("text", text, x=x, y=y, font_size=size, text_anchor=anchored, **colour, **(ground if halo else {}))

    def line(self, x1: float, y1: float, x2: float, y2: float, *, soft: bool = False, dash: str | None = None) -> None:
        """A thin line of the frame: an axis, or with `soft` a grid line."""
        stroke, class_ = (GRID, "grid") if soft else (SOFT, "axis")
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke, stroke_dasharray=dash, class_=class_)

    def stroke(
        self,
        points: Sequence[tuple[float, float]],
        look: MethodStyle,
        *,
        width: float,
        opacity: float | None = None,
        hint: str | None = None,
    ) -> None:
        """A line through points in a method's colour, with a hint on hover; it breaks where a coordinate is nan."""
        path, pen_down = [], False
        for x, y in points:
            drawn = math.isfinite(x) and math.isfinite(y)
            if drawn:
                path.append(f"{'L' if pen_down else 'M'}{_plain(x, 1)} {_plain(y, 1)}")
            pen_down = drawn
        if path:
            self.add(
                "path",
                d="".join(path),
                fill="none",
                stroke=look.colour,
                stroke_width=width,
                stroke_dasharray=look.dash,
                stroke_linejoin="round",
                stroke_linecap="round",
                opacity=opacity,
                class_=f"s{look.slot}",
                hint=hint,
            )

    def mark(
        self,
        x: float,
        y: float,
        look: MethodStyle,
        *,
        size: float = 4,
        opacity: float | None = None,
        hollow: bool = False,
        hint: str | None = None,
    ) -> None:
        """A method's marker, with a hint that shows on hover."""
        if hollow or look.marker in ("cross", "plus"):
            colour = {"fill": "none", "stroke": look.colour, "stroke_width": "2", "class_": f"s{look.slot}"}
        else:
            colour = {"fill": look.colour, "class_": f"f{look.slot}"}
        self.add("path", d=_marker(look.marker, x, y, size), opacity=opacity, **colour, hint=hint)

    def render(self) -> str:
        """The SVG element: for a file as well as for the page."""
        box = f"0 0 {_plain(self.width)} {_plain(self.height)}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" width="{_plain(self.width)}" '
            f'height="{_plain(self.height)}" role="img" aria-label="{escape(self.title)}" font-family="{escape(FONT)}">'
            f"<title>{escape(self.title)}</title><desc>{escape(self.description)}</desc>"
            f'<rect width="100%" height="100%" fill="#ffffff" class="ground"/>{"".join(self.parts)}</svg>\n'
        )


@dataclass(frozen=True)
class Scale:
    """Maps [low, high] to [start, end] of the drawing, linearly or by logarithm."""

    low: float
    high: float
    start: float = 0
    end: float = 1
    log: bool = False

    def __call__(self, value: float) -> float:
        """Position of a value; nan stays nan, and so does what has no logarithm."""
        if not math.isfinite(value) or (self.log and value <= 0):
            return math.nan
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def inside(self, value: float) -> float:
        """Position of a value, held within the range."""
        return self(min(max(value, self.low), self.high))


def plot(
    title: str,
    description: str,
    looks: Sequence[MethodStyle],
    x: Scale,
    y: Scale,
    ticks: Mapping[float, str],
    name: str,
) -> tuple[Drawing, Scale, Scale]:
    """A figure with a legend, a vertical axis and a line below with labelled ticks and a name; x and y as placed."""
    drawing = Drawing(WIDTH, 0, title, description)
    top = _legend(drawing, looks)
    bottom = top + HEIGHT
    drawing.height = bottom + 42
    x, y = replace(x, start=LEFT, end=WIDTH - 14), replace(y, start=bottom, end=top + 4)
    for tick in log_ticks(y.low, y.high) if y.log else nice_ticks(y.low, y.high, 4):
        drawing.line(x.start, y(tick), x.end, y(tick), soft=True)
        drawing.text(x.start - 6, y(tick) + 4, tick_label(tick), size=11, anchor="end", soft=True)
    below(drawing, x, bottom, ticks, name)
    return drawing, x, y


def below(drawing: Drawing, scale: Scale, bottom: float, ticks: Mapping[float, str], name: str) -> None:
    """The line below a plot, with labelled ticks and a name."""
    drawing.line(scale.start, bottom, scale.end, bottom)
    for at, label in ticks.items():
        drawing.text(scale(at), bottom + 16, label, size=11, anchor="middle", soft=True)
    drawing.text((scale.start + scale.end) / 2, bottom + 34, name, size=11, anchor="middle", soft=True)


def horizontal_axis(drawing: Drawing, scale: Scale, top: float, bottom: float, name: str) -> None:
    """Ticks and name below a plot whose values run to the right, with grid lines through it."""
    ticks = {tick: tick_label(tick) for tick in nice_ticks(scale.low, scale.high)}
    for tick in ticks:
        drawing.line(scale(tick), top, scale(tick), bottom, soft=True)
    below(drawing, scale, bottom, ticks, name)


def whisker(
    drawing: Drawing,
    scale: Scale,
    look: MethodStyle,
    across: float,
    ends: tuple[float, float],
    *,
    hint: str,
    upright: bool,
) -> None:
    """An interval at `across` on the other axis, with an arrow head on a side where it goes beyond the axis."""
    low, high = ends

    def place(along: float, aside: float) -> tuple[float, float]:
        return (across + aside, along) if upright else (along, across + aside)

    start, end = scale.inside(low), scale.inside(high)
    way = 1 if end > start else -1
    drawing.stroke([place(start, 0), place(end, 0)], look, width=1.8, hint=hint)
    for at, beyond, inward in ((start, low < scale.low, way), (end, high > scale.high, -way)):
        aside, depth = (4, 6 * inward) if beyond else (5, 0)
        drawing.stroke([place(at + depth, -aside), place(at, 0), place(at + depth, aside)], look, width=1.8)


def padded(low: float, high: float, *, least: float) -> tuple[float, float]:
    """A range with a margin, at least `least` wide: equal values must not fill an axis with noise."""
    extra = max((least - (high - low)) / 2, 0) + 0.06 * max(high - low, least)
    return low - extra, high + extra


def legible(values: Sequence[float], ends: Sequence[float], room: float, least: float = 1.0) -> tuple[float, float]:
    """A range of what was measured, `least` wide, and of intervals' ends up to `room` times its width beyond.

    With two seeds an interval is often ten times wider than the data; it is then cut, and shown as cut.
    """
    low, high = min(values), max(values)
    room *= max(high - low, least)
    return padded(max(min([low, *ends]), low - room), min(max([high, *ends]), high + room), least=least)


def short(label: str, most: int) -> str:
    """A label of at most so many characters."""
    return label if len(label) <= most else label[: most - 1] + "…"


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values within [low, high], about `count` of them, in steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within [low, high], with 2 and 5 times them where powers alone are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for multiples in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        ticks = [m * 10.0**d for d in decades for m in multiples if low * 0.999 <= m * 10.0**d <= high * 1.001]
        if len(ticks) >= 3:
            return ticks
    return nice_ticks(low, high, 4)


def tick_label(value: float) -> str:
    """A tick's number, short: 0.01, and 10⁻⁵ where there would be many zeros."""
    if 0 < value < 1e-3 and math.isclose(math.log10(value), round(math.log10(value)), abs_tol=1e-9):
        return f"10{str(round(math.log10(value))).translate(_SUPERSCRIPTS)}"
    return f"{value:.10g}".replace("-", "−")


def _legend(drawing: Drawing, looks: Sequence[MethodStyle]) -> float:
    """Markers with labels, wrapped; returns where the plot may begin."""
    x, y = 22.0, 14.0
    for look in looks:
        label = short(look.label, 24)
        width = 24 + 6.2 * len(label)
        if x > 22 and x + width > WIDTH:
            x, y = 22.0, y + 18
        drawing.stroke([(x - 7, y - 4), (x + 9, y - 4)], look, width=2.4)
        drawing.mark(x + 1, y - 4, look, size=3.6)
        drawing.text(x + 14, y, label, size=11)
        x += width + 8
    return y + 8


def _marker(kind: str, x: float, y: float, r: float) -> str:
    """Path of a marker of radius about r around (x, y)."""
    if kind == "circle":
        left, y_at, radius, right = (_plain(v) for v in (x - r, y, r, 2 * r))
        arc = f"a{radius} {radius} 0 1 0"
        return f"M{left} {y_at}{arc} {right} 0{arc} -{right} 0Z"
    if kind == "cross":
        a, b, c, d = (_plain(v) for v in (x - 0.8 * r, x + 0.8 * r, y - 0.8 * r, y + 0.8 * r))
        return f"M{a} {c}L{b} {d}M{a} {d}L{b} {c}"
    if kind == "plus":
        return f"M{_plain(x - r)} {_plain(y)}H{_plain(x + r)}M{_plain(x)} {_plain(y - r)}V{_plain(y + r)}"
    return "M" + "L".join(f"{_plain(x + dx * r)} {_plain(y + dy * r)}" for dx, dy in _CORNERS[kind]) + "Z"


def _plain(value: object, places: int = 2) -> str:
    """Numbers to two places, without trailing zeros: enough for a screen, and the same bytes each time."""
    if isinstance(value, float):
        text = f"{value:.{places}f}".rstrip("0").rstrip(".")
        return "0" if text == "-0" else text
    return str(value)
