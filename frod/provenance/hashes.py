"""SHA-256 of files, directory trees and plain data, and reading that checks them.

One algorithm everywhere, written as 64 hexadecimal digits, so that a hash in one record can be compared with that in
another by eye.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from frod import files


def bytes_sha256(content: bytes) -> str:
    """Hash of bytes already in memory."""
    return hashlib.sha256(content).hexdigest()


def files_in(directory: str | os.PathLike[str]) -> list[str]:
    """Names of all files beneath `directory`, relative, with ``/`` between parts, sorted.

    Files that only the workflow's bookkeeping leaves behind (``.snakemake_timestamp``) are not content.
    """
    top = Path(directory)
    if not top.is_dir():
        raise FileNotFoundError(f"directory={str(top)!r}: there is no such directory; make it or correct the path")
    names = []
    for folder, _, here in os.walk(top):
        relative = Path(folder).relative_to(top)
        names += [(relative / name).as_posix() for name in here if name != ".snakemake_timestamp"]
    return sorted(names)


def tree_hashes(directory: str | os.PathLike[str]) -> dict[str, str]:
    """Hash of each file beneath `directory`, by relative name."""
    return {name: files.sha256(Path(directory) / name) for name in files_in(directory)}


def tree_sha256(directory: str | os.PathLike[str]) -> str:
    """One hash for a directory: of its files' relative names and contents, whatever their times and owners."""
    return json_sha256(tree_hashes(directory))


def path_sha256(path: str | os.PathLike[str]) -> str:
    """Hash of a file, or of a directory's tree."""
    return tree_sha256(path) if os.path.isdir(path) else files.sha256(path)


def canonical_json(value: Any) -> str:
    """JSON text that is the same for equal values: sorted keys, no spaces, no NaN.

    Raises
    ------
    TypeError
        If `value` holds something other than dictionaries with string keys, lists, tuples, strings, numbers, booleans
        and None. Turning it into its text would give the same hash to different things.
    ValueError
        If `value` holds NaN or an infinity.
    """
    _check_keys(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _check_keys(value: Any) -> None:
    """json.dumps turns the key 1 into "1" without a word, and so two different dictionaries into one text."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(
                    f"key {key!r} is {type(key).__name__}: give dictionaries string keys before hashing them"
                )
            _check_keys(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_keys(item)


def json_sha256(value: Any) -> str:
    """Hash of plain data through its `canonical_json`."""
    return bytes_sha256(canonical_json(value).encode("utf-8"))


def _mismatch(path: Path, expected: str, found: str, remedy: str) -> ValueError:
    return ValueError(
        f"{path}: the content is not the one recorded: sha256 expected {expected}, found {found}; {remedy}"
    )


DEFAULT_REMEDY = "delete it and run the workflow again, or restore it with `dvc checkout`"


def read_verified(path: str | os.PathLike[str], sha256: str, *, remedy: str = DEFAULT_REMEDY) -> bytes:
    """Read a file whose hash is known.

    Raises
    ------
    ValueError
        If the content has another hash; the message holds both and `remedy`.
    """
    content = Path(path).read_bytes()
    found = bytes_sha256(content)
    if found != sha256:
        raise _mismatch(Path(path), sha256, found, remedy)
    return content


def verify_file(path: str | os.PathLike[str], sha256: str, *, remedy: str = DEFAULT_REMEDY) -> None:
    """Check a file too large to be read at once, or one that a library will map into memory.

    Raises
    ------
    ValueError
        If the content has another hash; the message holds both and `remedy`.
    """
    found = files.sha256(path)
    if found != sha256:
        raise _mismatch(Path(path), sha256, found, remedy)


def verify_tree(directory: str | os.PathLike[str], hashes: dict[str, str], *, remedy: str = DEFAULT_REMEDY) -> None:
    """Check every file named in `hashes` (relative name to sha256). Files that are not named are left alone.

    Raises
    ------
    FileNotFoundError
        If a file is missing; all missing ones are named.
    ValueError
        If a file has another hash.
    """
    top = Path(directory)
    missing = sorted(name for name in hashes if not (top / name).is_file())
    if missing:
        raise FileNotFoundError(
            f"{top}: {len(missing)} of {len(hashes)} files are missing: {', '.join(missing)}; {remedy}"
        )
    for name in sorted(hashes):
        verify_file(top / name, hashes[name], remedy=remedy)
