"""What an audit found, what it looked at, and what it could not look at."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from frod.provenance.artefacts import first_line

NOTHING = "nothing"
LONGEST = 100  # characters of a value in a line; the JSON has all of it


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that does not follow from the files, or does not fit the others."""

    file: str
    what: str
    expected: Any = None
    found: Any = None
    remedy: str = ""

    def line(self) -> str:
        """File, what, expected, found, remedy in one line."""
        sides = "" if self.expected is self.found is None else f": expected {shown(self.expected)}, found "
        sides += shown(self.found) if sides else ""
        return f"{self.file}: {self.what}{sides}" + (f"; {self.remedy}" if self.remedy else "")


@dataclass
class Findings:
    """The findings of one audit, in the order of the walk."""

    found: list[Finding] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)
    """How many of what were looked at."""
    unchecked: dict[str, str] = field(default_factory=dict)
    """What could not be looked at, and why."""
    notes: list[str] = field(default_factory=list)
    """What is allowed, and a reader should know."""
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def add(self, file: str | Path, what: str, expected: Any = None, found: Any = None, *, remedy: str = "") -> None:
        """Note a finding; the same one of a file twice is one."""
        if (str(file), what) not in self._seen:
            self._seen.add((str(file), what))
            self.found.append(Finding(file=str(file), what=what, expected=expected, found=found, remedy=remedy))

    def note(self, text: str) -> None:
        """Note what is no finding; the same twice is one."""
        self.notes += [text] if text not in self.notes else []

    def equal(self, file: str | Path, what: str, expected: Any, found: Any, *, remedy: str = "") -> bool:
        """Compare plain data to the digit; where they differ, note the first place. Returns whether they are equal."""
        differing = difference(expected, found)
        if differing is None:
            return True
        where, wanted, there = differing
        self.add(file, ".".join(part for part in (what, where) if part), wanted, there, remedy=remedy)
        return False

    @contextmanager
    def guard(self, file: str | Path, what: str) -> Iterator[None]:
        """Turn whatever a broken file makes go wrong into a finding: an audit goes on to the end."""
        try:
            yield
        except Exception as error:
            kind = "" if type(error) is ValueError else f"{type(error).__name__}: "  # those of this project say it all
            self.add(file, f"{what} cannot be checked: {kind}{first_line(error)}")

    def complete(self, command: Callable[[str], str]) -> None:
        """Write out the command lines of the remedies: `command` gives that of a target of Snakemake."""
        self.found = [
            replace(one, remedy=re.sub(r"`snakemake ?(\w*)`", lambda found: f"`{command(found[1])}`", one.remedy))
            for one in self.found
        ]

    def merge(self, other: Findings) -> None:
        """Put what another look has found behind what is here."""
        self.found += other.found
        self.checked += other.checked
        self.unchecked |= other.unchecked

    def as_json(self) -> dict[str, Any]:
        """Plain data, for audit.json."""
        return {
            "findings": [{key: _plain(value) for key, value in asdict(one).items()} for one in self.found],
            "checked": dict(self.checked),
            "not_checked": self.unchecked,
            "notes": self.notes,
        }


def difference(expected: Any, found: Any, where: str = "") -> tuple[str, Any, Any] | None:
    """The first place at which two nested values differ: its dotted name and both sides; None where they are equal.

    Numbers are equal to the last digit; nan equals nan, and 1 equals 1.0 but not True.
    """
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key in [*expected, *(key for key in found if key not in expected)]:
            inner = f"{where}.{key}" if where else str(key)
            if key not in expected or key not in found:
                return inner, expected.get(key, NOTHING), found.get(key, NOTHING)
            if (differing := difference(expected[key], found[key], inner)) is not None:
                return differing
        return None
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        for i, (one, other) in enumerate(zip(expected, found)):
            if (differing := difference(one, other, f"{where}[{i}]")) is not None:
                return differing
        return None if len(expected) == len(found) else (f"{where} (length)", len(expected), len(found))
    same = expected == found and isinstance(expected, bool) == isinstance(found, bool)
    return None if same or (_is_nan(expected) and _is_nan(found)) else (where, expected, found)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _plain(value: Any) -> Any:
    finite = isinstance(value, float) and math.isfinite(value)
    return value if finite or value is None or isinstance(value, str | int) else str(value)


def shown(value: Any) -> str:
    """A value in a line."""
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
