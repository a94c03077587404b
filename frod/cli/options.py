"""What options of several commands have in common, and what no argument of any command may be."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Sequence
from typing import Annotated, Any

import typer

THREADS: dict[str, Any] = {"min": 1, "max": 1024}
FOLDER: dict[str, Any] = {"exists": True, "file_okay": False}
FILE: dict[str, Any] = {"exists": True, "dir_okay": False}

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def finite(value: float | None) -> float | None:
    """The value of an option, a finite number: a range alone lets NaN pass."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number.")
    return value


CheckpointSeconds = Annotated[
    float,
    typer.Option(min=0, callback=finite, help="Time between checkpoints.", envvar="FROD_CHECKPOINT_SECONDS"),
]


def check(words: Sequence[str]) -> None:
    """Refuse, by ValueError, arguments that mean nothing to any command, or harm.

    An empty path would be the current folder. A pipe keeps its reader waiting, and what is written in a device's place
    replaces it: files are written under another name and renamed.
    """
    option = "an argument"
    for word in words:
        value = word
        if word.startswith("-"):
            option, equals, value = word.partition("=")
            if not equals:
                continue
        if not value:
            raise ValueError(f"{option}: is empty; give a value, or leave it out")
        if not value.lstrip().startswith("{") and (control := _CONTROL.search(value)):  # JSON may have lines
            raise ValueError(f"{option}: holds the control character {control.group()!r}; leave it out")
        if _is_special(value):
            raise ValueError(f"{option}: {value} is a device or a pipe; give a file or a folder")
        option = "an argument"


def _is_special(word: str) -> bool:
    try:
        mode = os.stat(word).st_mode
    except (OSError, ValueError):  # no path
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
