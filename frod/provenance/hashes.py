"""SHA-256 of files, directory trees and plain data.

One algorithm everywhere, written as 64 hexadecimal digits, so that a hash in one record can be compared with that in
another by eye.
"""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from frod import files

TIMESTAMP = ".snakemake_timestamp"
# Of a model; of a prepared task or a basis. It names the sha256 of all else in its folder, against which who reads that
# holds it, and so stands for the folder.
MANIFESTS = ("source.json", "manifest.json")


def bytes_sha256(content: bytes) -> str:
    """Hash of bytes already in memory."""
    return hashlib.sha256(content).hexdigest()


def files_in(directory: str | os.PathLike[str]) -> list[str]:
    """Names of all files beneath `directory`, relative, with ``/`` between parts, sorted.

    Files that only the workflow's bookkeeping leaves behind (`TIMESTAMP`) are not content.
    """
    top = Path(directory)
    if not top.is_dir():
        raise FileNotFoundError(f"directory={str(top)!r}: there is no such directory; make it or correct the path")
    names = []
    for folder, _, here in os.walk(top):
        relative = Path(folder).relative_to(top)
        names += [(relative / name).as_posix() for name in here if name != TIMESTAMP]
    return sorted(names)


def tree_hashes(directory: str | os.PathLike[str]) -> dict[str, str]:
    """Hash of each file beneath `directory`, by relative name."""
    return {name: files.sha256(Path(directory) / name) for name in files_in(directory)}


def path_sha256(path: str | os.PathLike[str]) -> str:
    """Hash of a file, or of a directory: of its files' relative names and contents, whatever their times and owners."""
    return json_sha256(tree_hashes(path)) if os.path.isdir(path) else files.sha256(path)


def canonical_json(value: Any) -> str:
    """JSON text that is the same for equal values: sorted keys, no spaces.

    TypeError for anything but dictionaries with string keys, lists, tuples, strings, numbers, booleans and None: turned
    into its text, different things would have one hash. ValueError for NaN and infinities.
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


def standing_for(path: Path) -> Path:
    """The manifest of a folder that has one; else `path` itself."""
    found = (path / name for name in MANIFESTS) if path.is_dir() else iter(())
    return next(filter(Path.is_file, found), path)


def json_sha256(value: Any) -> str:
    """Hash of plain data through its `canonical_json`."""
    return bytes_sha256(canonical_json(value).encode("utf-8"))


def signature(path: str | os.PathLike[str]) -> str:
    """Size and time of a file, or of all files in a directory: equal as long as nobody has written to it."""
    found = os.stat(path)
    if not stat.S_ISDIR(found.st_mode):
        return f"{found.st_size}:{found.st_mtime_ns}"
    names = files_in(path)
    inner = [os.stat(os.path.join(path, name)) for name in names]
    return json_sha256([names, [[one.st_size, one.st_mtime_ns] for one in inner]])


def remembered(known: dict[str, tuple[str, str]], name: str, path: Path) -> str:
    """Hash of `path`, taken only where its signature is not the one in `known`, which holds both by name."""
    now = signature(path)
    if known.get(name, ("", ""))[0] != now:
        known[name] = (now, path_sha256(path))
    return known[name][1]
