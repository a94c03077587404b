"""Registries: YAML files of typed entries, checked when they are read. Shared by tasks and backbones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Count = Annotated[int, Field(ge=1)]


class Entry(BaseModel):
    """Base of all entries: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, serialize_by_alias=True)


Kind = TypeVar("Kind", bound=Entry)


def load(kind: type[Kind], path: Path) -> dict[str, Kind]:
    """Read a registry: entries by name, in the file's order.

    Raises
    ------
    ValueError
        An entry is not as it should be: names the file, the entry, the field and its value.
    """
    entries = {}
    for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        try:
            entries[name] = kind.model_validate(entry)
        except ValidationError as error:
            lines = [f"{path.name}: {name}.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            raise ValueError("\n".join(lines)) from None
    return entries


def get(entries: dict[str, Kind], what: str, name: str) -> Kind:
    """Return one entry; ValueError with the known names where there is none of this name."""
    if name not in entries:
        raise ValueError(f"{what} {name!r} is not in the registry; it has {', '.join(entries)}")
    return entries[name]
