"""The folders of params.yaml: each apart from the others, and from what the project itself is made of."""

from __future__ import annotations

import os
from pathlib import Path

from frod.config.origins import Given, origin
from frod.config.safe_yaml import shown
from frod.config.settings import Paths

WRITTEN = ("data", "results", "reports", "own")
PROJECT = ("bench", "benchmarks", "config", "docs", "frod", "logs", "profiles", "tests", "workflow")
"""Folders of a checkout that hold other things; so do all whose names begin with a dot."""


def check(paths: Paths, root: Path, given: Given) -> None:
    """Refuse, by ValueError, folders in which the workflow would write over something else; links are followed.

    `root` is the folder of params.yaml.
    """
    named = {name: getattr(paths, name) for name in WRITTEN}
    places = {name: _place(root / folder) for name, folder in named.items()}
    for name, place in places.items():
        fault = "and is a file" if (root / named[name]).is_file() else _fault(place, _place(root))
        for other in WRITTEN[: WRITTEN.index(name)]:
            if not fault and (place.is_relative_to(places[other]) or places[other].is_relative_to(place)):
                fault = f"paths.{other} {shown(named[other])}: neither may be or hold the other"
        if fault:
            where = origin(given, ("paths", name))
            raise ValueError(f"{where}: paths.{name}: is {shown(named[name])}, {fault}; choose another folder")


def _place(path: Path) -> Path:
    """Where a path leads. In small letters: another file system, to which a study may go, does not tell A from a."""
    return Path(os.path.realpath(path).casefold())


def _fault(place: Path, project: Path) -> str:
    if project.is_relative_to(place):
        return "which holds the project itself"
    if place == _place(Path(os.path.expanduser("~"))):
        return "your home"
    first = place.relative_to(project).parts[0] if place.is_relative_to(project) else ""
    return f"and {first} is the project's own" if first in PROJECT or first.startswith(".") else ""
