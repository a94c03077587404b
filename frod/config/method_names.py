"""Names and labels of methods: claims go by names, readers by both, so each says what it is known for and no other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from frod.config.safe_yaml import shown
from frod.config.schema import look_of
from frod.config.suite import Method

Known = Mapping[str, Mapping[str, Any]]
"""The methods that a suite can name without saying more."""


def check_labels(
    written: Mapping[str, Mapping[str, Any]], methods: Mapping[str, Method], known: Known, at: str
) -> None:
    """ValueError where a label that is written in the suite is what a reader calls another of its methods."""
    names = {
        name: (name, method.label or name, known.get(name, {}).get("label", name)) for name, method in methods.items()
    }
    for name, settings in written.items():
        label = settings.get("label")
        for other, of_other in names.items():
            if isinstance(label, str) and label and other != name and look_of(label) in map(look_of, of_other):
                raise ValueError(
                    f"{at}: methods.{name}.label: is {shown(label)}, which is what {other} is called; choose another"
                )


def check_kinds(used: Iterable[tuple[str, Method]], known: Known, at: str) -> None:
    """ValueError where a known name is of another kind of method, or of another configuration of peft."""
    for name, method in used:
        for field, given in (("kind", method.kind), ("config", method.config)):
            expected = known[name].get(field) if name in known else given
            if given != expected:
                raise ValueError(
                    f"{at}: methods.{name}.{field}: is {given}, and {name} is known as {expected}; choose another name"
                )
