"""Characters that a reader does not see: they turn a text around, hide a part of it, or command a terminal.

Refused in files that a person writes; in texts that come from data or from others' results they are shown as escapes.
"""

from __future__ import annotations

import unicodedata

CONTROLS = ("Cc", "Cf", "Zl", "Zp")
"""Unicode's categories: controls (ESC), formats (U+202E turns the order around), separators of lines, of paragraphs."""
OF_SCRIPTS = "\u200c\u200d"
"""Formats within words of Persian and Hindi, and between the parts of an emoji."""
LAYOUT = "\t\n"


def hidden(text: str, *, but: str = LAYOUT) -> str | None:
    """The first character of a text that a reader does not see, or None; `but`: controls that are meant."""
    rest = text
    for one in but:
        rest = rest.replace(one, "")
    return None if rest.isprintable() else next((one for one in rest if _hides(one, but)), None)


def visible(text: str, *, but: str = LAYOUT) -> str:
    """A text whose hidden characters stand as Python writes them: \\u202e."""
    if hidden(text, but=but) is None:
        return text
    return "".join(ascii(one)[1:-1] if _hides(one, but) else one for one in text)


def named(character: str) -> str:
    """U+202E RIGHT-TO-LEFT OVERRIDE."""
    return f"U+{ord(character):04X} {unicodedata.name(character, 'control')}"


def _hides(one: str, but: str) -> bool:
    return not one.isprintable() and one not in OF_SCRIPTS + but and unicodedata.category(one) in CONTROLS
