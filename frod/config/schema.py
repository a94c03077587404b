"""Typed entries of YAML files: parameters, suites and registries, checked when they are read.

What is wrong is said in one line an error: the file, the field, its value, and what would be right.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from frod.config import safe_yaml

MOST_ERRORS = 20


def inside(path: str) -> str:
    """Return a relative path or pattern; ValueError where it leads out of the folder that it is meant below."""
    if not path or path.startswith(("/", "~")) or "\\" in path or ".." in path.split("/"):
        raise ValueError(f"is {safe_yaml.shown(path)}; it should be a path below its folder, without '..'")
    return path


def not_blank(text: str, *, field: str = "") -> str:
    """Return a text; ValueError where a reader would see nothing."""
    if not look_of(text):
        raise ValueError(f"{field}is {safe_yaml.shown(text)}; give it a word")
    return text


def not_empty(path: Any) -> Any:
    """Return a path, or what is none; ValueError for an empty one, which would be the current folder."""
    if isinstance(path, str) and not path.strip():
        raise ValueError(f"is {safe_yaml.shown(path)}; give a file or a folder")
    return path


def look_of(text: str) -> str:
    """What a reader can tell two names by: neither case nor blanks, nor what is not seen at all."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(one for one in folded if unicodedata.category(one)[0] not in "ZC")


Words = Annotated[str, AfterValidator(not_blank)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Inside = Annotated[str, AfterValidator(inside)]
OwnPath = Annotated[Path, BeforeValidator(not_empty), Field(strict=False)]
# Names are folders' and files' names, three of them in one: longer ones would not fit into a file's name.
NAME, NAME_PATTERN = "lower case letters, digits and _", r"^[a-z0-9][a-z0-9_]*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64, description=NAME)]
# A repository of the Hub, at a commit or not; its name is a folder of a mirror.
HubName = Annotated[str, Field(pattern=r"^[\w-][\w.-]*/[\w-][\w.-]*(@[0-9a-f]{40})?$", max_length=250)]


class StrictModel(BaseModel):
    """Base of all entries: unknown keys are errors, no value is taken for one of another kind, none changes later."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True, serialize_by_alias=True
    )


class HubSource(StrictModel):
    """A repository of the Hugging Face Hub."""

    hub: HubName
    """id@revision; the revision is a commit, so that the files cannot change under a finished study. Without one, the
    newest commit is taken when they are fetched, and recorded."""

    @property
    def id(self) -> str:
        return self.hub.partition("@")[0]

    @property
    def revision(self) -> str | None:
        return self.hub.partition("@")[2] or None


Kind = TypeVar("Kind", bound=StrictModel)


def validate(kind: type[Kind], values: Any, source: str | Callable[[Sequence[Any]], str], prefix: str = "") -> Kind:
    """Make an entry of plain values; ValueError with one line an error.

    `source` is the file, for messages, or tells it by the place of the error; `prefix` where in it the entry stands,
    dotted.
    """
    named = source if callable(source) else lambda place: source
    if not isinstance(values, dict):
        raise ValueError(
            f"{named([])}: {prefix or 'it'} should be a mapping of names to values, is {safe_yaml.shown(values)}"
        )
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ValueError("\n".join(_lines(error.errors(), values, named, prefix))) from None


def check_fields(kind: type[StrictModel], values: Any, source: str, prefix: str) -> None:
    """Check the keys and values that a part of an entry gives, whatever else the whole needs; ValueError as above."""
    if not isinstance(values, dict):
        validate(kind, values, source, prefix)
    try:
        kind.model_validate(values)
    except ValidationError as error:
        own = [e for e in error.errors() if e["loc"] and e["type"] != "missing"]
        if own:
            raise ValueError("\n".join(_lines(own, values, lambda place: source, prefix))) from None


def _lines(errors: Sequence[Any], values: Any, named: Callable[[Sequence[Any]], str], prefix: str) -> list[str]:
    nearest = _of_the_nearest_alternatives(errors, values)
    lines = [safe_yaml.one_line(f"{named(e['loc'])}: {_explain(e, prefix)}") for e in nearest]
    more = [f"{named([])}: {len(lines) - MOST_ERRORS} more errors"] if len(lines) > MOST_ERRORS else []
    return lines[:MOST_ERRORS] + more


def from_json(kind: type[Kind], text: str, source: str) -> Kind:
    """Make an entry of a command's argument in JSON; ValueError as in `validate`."""
    return validate(kind, safe_yaml.from_json(text, source), source)


def load(kind: type[Kind], path: Path) -> dict[str, Kind]:
    """Read a registry: entries by name, in the file's order; ValueError as in `validate`."""
    return {name: validate(kind, values, path.name, name) for name, values in safe_yaml.read(path).items()}


def did_you_mean(word: str, known: list[str]) -> str:
    """Suggest the known word that a misspelt one is closest to, but for case and outer blanks; empty if none is."""
    folded = {one.casefold().strip(): one for one in reversed(known) if one != word}
    close = difflib.get_close_matches(word.casefold().strip(), list(folded), n=1)
    return f"; did you mean {folded[close[0]]!r}?" if close else ""


class Faults(AbstractContextManager[None]):
    """Errors of checks that do not depend on each other, to be said at once: `with faults:` around each of them."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        """Keep a ValueError for later."""
        if isinstance(error, ValueError):
            self.add(*str(error).splitlines())
        return isinstance(error, ValueError)

    def add(self, *lines: str) -> None:
        """Keep lines; what is said already is not said twice."""
        self._lines |= dict.fromkeys(lines)

    def check(self) -> None:
        """Raise ValueError with all that was kept, a line each, where there is anything."""
        if self._lines:
            raise ValueError("\n".join(self._lines))


def _of_the_nearest_alternatives(errors: Sequence[Any], values: Any) -> list[Any]:
    """Of a field with several types, keep the errors of the one that fits best; locations lose the types' names."""
    by_field: dict[tuple, dict[Any, list[Any]]] = {}
    for error in errors:
        field, alternative, location = _located(error, values)
        by_field.setdefault(field, {}).setdefault(alternative, []).append({**error, "loc": location})
    return [
        error
        for alternatives in by_field.values()
        for error in min(alternatives.values(), key=lambda found: (_keys_amiss(found), -len(found[0]["loc"])))
    ]


def _keys_amiss(errors: Sequence[Any]) -> int:
    return sum(error["type"] in ("missing", "extra_forbidden") for error in errors)


def _located(error: Any, values: Any) -> tuple[tuple, Any, tuple]:
    """Return the field of several types that an error is in, which of the types it is of, and the place in `values`."""
    place: list[Any] = []
    field, alternative = tuple(error["loc"]), None
    for part in error["loc"]:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):  # a missing key is the last part; what else is not there is a type
            if error["type"] != "missing" or part != error["loc"][-1]:
                field, alternative = tuple(place), part
                continue
        place.append(part)
    return field, alternative, tuple(place)


def _explain(error: Any, prefix: str) -> str:
    location = [str(part) for part in error["loc"]]
    field = ".".join(([prefix] if prefix else []) + location)
    if error["type"] == "extra_forbidden":
        return f"{field}: unknown key{did_you_mean(location[-1], _known_keys())}"
    if error["type"] == "missing":
        return f"{field}: is missing"
    if error["type"] == "value_error":
        return f"{field + ': ' if field else ''}{error['ctx']['error']}"
    if error["type"] in ("model_type", "dict_type"):
        return f"{field}: should be a mapping of names to values, is {safe_yaml.shown(error['input'])}"
    said, hint, single = error["msg"], "", isinstance(error["input"], bool | int | float)
    if error["type"] == "string_pattern_mismatch" and error["ctx"]["pattern"] == NAME_PATTERN:
        said = f"should be of {NAME}"
    elif error["type"] == "string_type" and single:
        hint = "; put it in quotes"
    elif error["type"] == "list_type" and single:
        hint = f"; write [{error['input']}]"
    return f"{field}: {said}, is {safe_yaml.shown(error['input'])}{hint}"


def _known_keys() -> list[str]:
    return sorted({field for kind in StrictModel.__subclasses__() for field in kind.model_fields})
