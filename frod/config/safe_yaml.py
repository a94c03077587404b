"""Plain values from YAML and JSON: all that parameters, suites and registries may hold.

They are mappings with text for keys, lists, text, numbers, truth values and null; no tags (which would make objects of
other kinds), no key twice, and no more than a person writes: a file of a few lines whose aliases unfold to gigabytes
is refused. What is wrong is said in one line.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from frod import characters
from frod.provenance import secrets

LARGEST = 1_000_000
"""Values and characters together, each alias counted as often as it is used."""
DEEPEST = 40
HINTS = (
    ("cannot start any token", "; is it a tab? Lines are indented by blanks, and text with such a character is quoted"),
    ("mapping values are not allowed", "; is it, or the line before, indented wrongly? A text with ': ' is quoted"),
)
"""What is likely meant where YAML says so."""
LONGEST = 200
"""Characters of a value in a message."""

# What YAML 1.2 reads a bare word as. PyYAML and Snakemake read 1.1, DVC and most others 1.2.
_CORE = {
    "null": re.compile("null|Null|NULL|~|"),
    "bool": re.compile("true|True|TRUE|false|False|FALSE"),
    "int": re.compile("[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
}
_RESOLVER = yaml.resolver.Resolver()
_KNOWN: dict[str, str] = {}
"""YAML texts as JSON, which is read fifty times as fast: an audit reads files of many commits, most of one text."""


def read(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; an empty one is an empty mapping.

    ValueError, in one line, where the file cannot be read, is no YAML, or holds what is not plain.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"{path}: has {path.stat().st_size} bytes; parameters are at most {LARGEST}")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: is not text in UTF-8 ({error.reason} at byte {error.start}); save it as such"
        ) from None
    return from_yaml(text, str(path))


def from_yaml(text: str, source: str) -> dict[str, Any]:
    """Return the mapping that a YAML text holds; `source` is the file, for messages. ValueError as in `read`."""
    if text not in _KNOWN:
        _KNOWN[text] = json.dumps(_parsed(text, source))
    return json.loads(_KNOWN[text])


def _parsed(text: str, source: str) -> dict[str, Any]:
    try:
        _refuse_tags_and_depth(text)
        values = yaml.load(text, Loader=_Loader)  # a SafeLoader, with less
    except yaml.YAMLError as error:
        raise ValueError(f"{source}: {_what_yaml_says(error)}") from None
    except RecursionError:
        raise ValueError(f"{source}: is nested more than {DEEPEST} deep") from None
    except UnicodeEncodeError:
        raise ValueError(f"{source}: is not text in UTF-8") from None
    except ValueError as error:  # of a number or a date that is none
        raise ValueError(f"{source}: {one_line(str(error))}; put text in quotes") from None
    return checked({} if values is None else values, source)


def from_json(text: str, source: str) -> dict[str, Any]:
    """Return the mapping that a JSON text holds, as the workflow gives one to its commands; ValueError as in `read`."""
    if len(text) > LARGEST:
        raise ValueError(f"{source}: has {len(text)} characters; at most {LARGEST} are taken")
    try:
        values = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"{source}: is not JSON ({error})") from None
    except RecursionError:
        raise ValueError(f"{source}: is nested more than {DEEPEST} deep") from None
    except ValueError as error:  # a number of thousands of digits, or a key that stands twice
        raise ValueError(f"{source}: {one_line(str(error))}") from None
    return checked(values, source)


def from_word(word: str, source: str) -> Any:
    """Return what YAML takes a word without quotes for; ValueError where YAML 1.1 and 1.2 differ in it."""
    if fault := _fault_of_bare(word):
        raise ValueError(f"{source}: {fault}")
    return yaml.safe_load(word) if _kind_of_bare(word) in _CORE else word


def checked(values: Any, source: str) -> dict[str, Any]:
    """Return the values, a mapping, once all in it is known to be plain; ValueError in one line, with the field."""
    if not isinstance(values, dict):
        raise ValueError(f"{source}: it should be a mapping of names to values, is {shown(values, deep=False)}")
    size = 0
    waiting: list[tuple[str, Any, int]] = [("", values, 0)]
    while waiting:
        field, value, depth = waiting.pop()
        size += 1 + (len(value) if isinstance(value, str) else 0)
        if size > LARGEST:
            raise ValueError(f"{source}: holds more than {LARGEST} values and characters, aliases (*name) unfolded")
        if depth > DEEPEST:
            raise ValueError(f"{source}: {one_line(field)}: is nested more than {DEEPEST} deep")
        if isinstance(value, dict):
            for key, item in value.items():
                _check(key, source, f"{field}.{key}".removeprefix("."), key=True)
                waiting.append((f"{field}.{key}".removeprefix("."), item, depth + 1))
        elif isinstance(value, list):
            waiting += [(f"{field}.{place}", item, depth + 1) for place, item in enumerate(value)]
        else:
            _check(value, source, field)
    return values


def _check(value: Any, source: str, field: str, *, key: bool = False) -> None:
    """Raise ValueError where a key or a single value is not plain."""
    error = _error_of_text(value) if isinstance(value, str) else _error_of_other(value)
    if key and not isinstance(value, str):
        error = f"the key {shown(value)} is no text; put it in quotes"
    elif key and len(value) > LONGEST:
        field, error = field.removesuffix(value).removesuffix("."), f"the key {shown(value)} is too long"
    if error:
        raise ValueError(f"{source}: {f'{one_line(field)}: ' if field else ''}{error}")


def _error_of_other(value: Any) -> str | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else f"is {value}, no finite number"
    if isinstance(value, int):
        return None if abs(value) < 2**63 else "is too large a number"
    return f"is {shown(value)}, a {type(value).__name__}; put text in quotes"


def _error_of_text(text: str) -> str | None:
    if control := characters.hidden(text, but="\t\n\r"):
        return f"holds {characters.named(control)}, which no reader sees; take it out"
    if not text.isascii() and text.encode("utf-8", "ignore").decode() != text:
        return "is not text in UTF-8"
    if secrets.is_in(text):
        return "holds a token, a password or an address with a user; such are kept in the environment, not in files"
    return None


def shown(value: Any, *, deep: bool = True) -> str:
    """A value for a message: on one line, cut where it is long, without secrets."""
    text = one_line(repr(value)) if deep or not isinstance(value, dict | list) else f"a {type(value).__name__}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} characters)"


def one_line(text: str) -> str:
    """A text for a message: what is not printable is escaped, so that neither a line nor a terminal breaks at it."""
    text = secrets.removed_from(text)
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice)} stands twice")
    return values


_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # PyYAML may be built without libyaml


class _Loader(_SafeLoader):
    """PyYAML's safe loader; it refuses keys that stand twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _problem(f"key {key.value!r} stands twice", key)
                seen.add(key.value)
        values: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return values


def _refuse_tags_and_depth(text: str) -> None:
    """Refuse tags, which name kinds of objects, and nesting that would overflow the stack, before nodes are made."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if (tag := getattr(event, "tag", None)) is not None:
            raise _problem(f"tag {tag} is not taken", event)
        if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and (fault := _fault_of_bare(event.value)):
            raise _problem(fault, event)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST + 1:
            raise _problem(f"is nested more than {DEEPEST} deep", event)


def _kind_of_bare(word: str) -> str:
    """What YAML 1.1 takes a word without quotes for."""
    return _RESOLVER.resolve(yaml.ScalarNode, word, (True, False)).rpartition(":")[2]


def _fault_of_bare(word: str) -> str | None:
    """Say what is wrong with a word without quotes: it means one thing to some programs, and another to others."""
    old = _kind_of_bare(word)
    new = next((kind for kind, form in _CORE.items() if form.fullmatch(word)), "str")
    if old == new or old not in (*_CORE, "str"):
        return None
    plain = "digits alone"
    if old == "bool":
        plain = "true or false"
    elif new == "float" and "e" in word.lower():
        plain = yaml.safe_dump(float(word)).split()[0]
    return f"{shown(word)} means one thing in YAML 1.1, another in 1.2; write {plain}, or put text in quotes"


def _problem(what: str, where: Any) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, what, where.start_mark)


def _what_yaml_says(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    what = one_line(str(getattr(error, "problem", None) or error))[:LONGEST]
    return f"line {mark.line + 1}: {what}{next((hint for sign, hint in HINTS if sign in what), '')}" if mark else what
