"""Drawing: an SVG built by hand, escaped throughout, and the scales that map numbers to it.

By hand rather than by a plotting library: text stays text at the page's own size on a phone, colours follow the
reader's light or dark ground through classes, and the bytes are the same each time. Colours also stand as attributes,
which any rule of the page's style overrides, so that a figure looks right on its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import escape

from frod.reporting.naming import Look

INK, SOFT, GRID = "#1b1b1b", "#5f5f5f", "#dddddd"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"


@dataclass
class Drawing:
    """An SVG of a width and height in its own units, which are pixels on the page where there is room."""

    width: float
    height: float
    title: str
    description: str
    parts: list[str] = field(default_factory=list)

    def add(self, tag: str, text: str | None = None, **attributes: object) -> None:
        """Append an element; `class_` and `stroke_width` become class and stroke-width; None is left out."""
        written = "".join(
            f' {name.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
            for name, value in attributes.items()
            if value is not None
        )
        self.parts.append(f"<{tag}{written}/>" if text is None else f"<{tag}{written}>{escape(text)}</{tag}>")

    def text(
        self, x: float, y: float, text: str, *, size: float = 12, anchor: str = "start", soft: bool = False
    ) -> None:
        """A line of text; `anchor` start, middle or end."""
        fill, class_ = (SOFT, "soft") if soft else (INK, "ink")
        anchor = None if anchor == "start" else anchor
        # A halo in the ground's colour keeps text legible where a grid line passes behind it.
        halo = {"stroke": "#ffffff", "stroke_width": 3, "paint_order": "stroke", "stroke_linejoin": "round"}
        self.add("text", text, x=x, y=y, font_size=size, text_anchor=anchor, fill=fill, class_=class_, **halo)

    def line(self, x1: float, y1: float, x2: float, y2: float, *, soft: bool = False, dash: str | None = None) -> None:
        """A thin line of the frame: an axis, or with `soft` a grid line."""
        stroke, class_ = (GRID, "grid") if soft else (SOFT, "axis")
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke, stroke_dasharray=dash, class_=class_)

    def stroke(
        self,
        points: Sequence[tuple[float, float]],
        look: Look,
        *,
        width: float,
        opacity: float = 1,
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
                stroke_linejoin="round",
                stroke_linecap="round",
                opacity=None if opacity == 1 else opacity,
                class_=f"s{look.slot}",
            )
            self._hint(hint)

    def mark(
        self, x: float, y: float, look: Look, *, size: float = 4, opacity: float = 1, hint: str | None = None
    ) -> None:
        """A method's marker, with a hint that shows on hover."""
        attributes = {"d": _marker(look.marker, x, y, size), "opacity": None if opacity == 1 else opacity}
        if look.marker in ("cross", "plus"):
            attributes |= {"fill": "none", "stroke": look.colour, "stroke_width": 2, "class_": f"s{look.slot}"}
        else:
            attributes |= {"fill": look.colour, "class_": f"f{look.slot}"}
        self.add("path", **attributes)
        self._hint(hint)

    def _hint(self, hint: str | None) -> None:
        """Give the last element a title, which browsers show on hover."""
        if hint is not None:
            self.parts[-1] = self.parts[-1].removesuffix("/>") + f"><title>{escape(hint)}</title></path>"

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
    start: float
    end: float
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


def _marker(kind: str, x: float, y: float, r: float) -> str:
    """Path of a marker of radius about r around (x, y)."""

    def polygon(*corners: tuple[float, float]) -> str:
        return "M" + "L".join(f"{_plain(x + dx * r)} {_plain(y + dy * r)}" for dx, dy in corners) + "Z"

    if kind == "circle":
        left, y_at, radius, right = (_plain(v) for v in (x - r, y, r, 2 * r))
        arc = f"a{radius} {radius} 0 1 0"
        return f"M{left} {y_at}{arc} {right} 0{arc} -{right} 0Z"
    if kind == "cross":
        a, b, c, d = (_plain(v) for v in (x - 0.8 * r, x + 0.8 * r, y - 0.8 * r, y + 0.8 * r))
        return f"M{a} {c}L{b} {d}M{a} {d}L{b} {c}"
    if kind == "plus":
        return f"M{_plain(x - r)} {_plain(y)}H{_plain(x + r)}M{_plain(x)} {_plain(y - r)}V{_plain(y + r)}"
    corners = {
        "square": ((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)),
        "triangle": ((0, -1.15), (1.1, 0.8), (-1.1, 0.8)),
        "wedge": ((0, 1.15), (1.1, -0.8), (-1.1, -0.8)),
        "diamond": ((0, -1.25), (1.1, 0), (0, 1.25), (-1.1, 0)),
        "bar": ((-0.4, -1.2), (0.4, -1.2), (0.4, 1.2), (-0.4, 1.2)),
    }
    return polygon(*corners[kind])


def _plain(value: object, places: int = 2) -> str:
    """Numbers to two places, without trailing zeros: enough for a screen, and the same bytes each time."""
    if isinstance(value, float):
        text = f"{value:.{places}f}".rstrip("0").rstrip(".")
        return "0" if text == "-0" else text
    return str(value)
