"""Templates to pages: each page holds its style and script, and its policy allows just these two and no request.

The policy names script and style by their hash: whatever a name from data might smuggle in would not run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

from frod.characters import visible
from frod.reporting.figures.axes import Drawing
from frod.reporting.naming import MethodStyle


def render(template: str, looks: Mapping[str, MethodStyle], /, **context: Any) -> str:
    """One page, with the colours of the methods in `looks`."""
    from markupsafe import Markup

    style, script = _asset("page.css") + _dark(looks), _asset("page.js")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    held = {"style": Markup(style), "script": Markup(script), "policy": Markup(policy)}
    return _templates().get_template(template).render(**held, **context)


@cache
def _templates() -> Environment:
    """Everything is escaped, and hidden characters are shown, but in our own drawings, which see to that themselves."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("frod.reporting", "templates"),
        autoescape=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["marker"] = _marker
    return environment


def _dark(looks: Mapping[str, MethodStyle]) -> str:
    """Style rules of the methods' colours, by slot: attributes hold the light ones, these the dark."""
    unique = {look.slot: look for look in looks.values()}
    rules = "".join(
        f".s{slot}{{stroke:{look.dark}}}.f{slot}{{fill:{look.dark}}}" for slot, look in sorted(unique.items())
    )
    return f"@media screen and (prefers-color-scheme: dark){{{rules}}}\n"


def _asset(name: str) -> str:
    from importlib.resources import files

    return files("frod.reporting").joinpath("templates", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _marker(look: MethodStyle) -> Markup:
    """A method's marker for a line of text; its name stands next to it, so it has none of its own."""
    from markupsafe import Markup

    drawing = Drawing(14, 14, "", "")
    drawing.mark(7.0, 7.0, look, size=5)
    return Markup(f'<svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">{"".join(drawing.parts)}</svg>')
