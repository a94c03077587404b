"""Answers in texts that a model wrote: how one is read out of a text, the right one and the model's alike."""

from __future__ import annotations

import re


def read_out(text: str, pattern: str) -> str:
    """Return the answer in a text: the last match of a regular expression, its group if it has one; "" for none."""
    found = list(re.finditer(pattern, text))
    return (found[-1][found[-1].re.groups] or "").strip() if found else ""
