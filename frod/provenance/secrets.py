"""What is secret must not be kept: tokens, passwords, and addresses that hold either.

Known are values under keys that name a secret, the values of the environment's secret variables wherever they occur,
passwords of the addresses that the environment names, and tokens of a form that tells them.
"""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import unquote, urlsplit

REMOVED = "(removed)"
SHORTEST = 8
"""Characters of a secret from the environment; a shorter one would be cut out of words that are none."""

_NAME = re.compile(
    r"(?:^|[_\-.])(?:password|passwd|secret|credentials?|api_?key|access_?key(?:_id)?|private_?key|(?:hf|auth|access|api|github)_token|authorization)$",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"(?:TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIALS?|API_?KEY|ACCESS_?KEY)", re.IGNORECASE)
_TOKEN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|(?:AKIA|ASIA)[0-9A-Z]{16})\b"
)
_HEADER = re.compile(r"(\bauthorization[\"']?\s*[:=]\s*[\"']?\w+\s+|\bbearer\s+(?=\S{20}))[^\s\"']+", re.IGNORECASE)
_ADDRESS = re.compile(r"\b[A-Za-z][A-Za-z0-9+.\-]*://[^\s\"'<>]+")
_QUERY = re.compile(
    r"([?&](?:[\w-]*(?:token|password|secret|signature|api_?key|access_?key)|sig)=)[^&#\s\"'<>)]+", re.IGNORECASE
)


def removed_from(value: Any) -> Any:
    """A copy of plain values in which no secret is left: `REMOVED` stands in its place, nothing in an address's."""
    return _cleaned(value, _of_environment())


def is_in(text: str) -> bool:
    """Whether a text holds what by its form is a secret; what the environment keeps secret is not looked for."""
    return _cleaned(text, []) != text


def _of_environment() -> list[str]:
    """The environment's secrets, the longest first: one may be part of another."""
    found = {value for name, value in os.environ.items() if _VARIABLE.search(name)}
    for value in os.environ.values():
        password = _password(value) if "://" in value else None
        if password:
            found |= {password, unquote(password)}
    return sorted((text for text in found if len(text) >= SHORTEST), key=len, reverse=True)


def _password(address: str) -> str | None:
    try:
        return urlsplit(address).password
    except ValueError:  # no address after all
        return None


def _cleaned(value: Any, known: list[str]) -> Any:
    if isinstance(value, dict):
        return {
            key: REMOVED if _NAME.search(str(key)) and isinstance(item, str) else _cleaned(item, known)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_cleaned(item, known) for item in value]
    if isinstance(value, str):
        for secret in known:
            value = value.replace(secret, REMOVED)
        value = _HEADER.sub(rf"\1{REMOVED}", _TOKEN.sub(REMOVED, value))
        # Also of half an address, as libraries name one in their errors.
        value = _QUERY.sub(rf"\1{REMOVED}", value)
        return _ADDRESS.sub(lambda match: _without_credentials(match.group()), value)
    return value


def _without_credentials(address: str) -> str:
    scheme, _, rest = address.partition("://")
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return f"{scheme}://{rest.removeprefix(place.rpartition('@')[0] + '@')}" if "@" in place else address
