"""Write files and directories so that whatever stands under its final name is whole.

Everything is written under a temporary name in the target's own folder (a rename is atomic only within one file
system), flushed to the disk and then renamed. A reader sees the old content or the new one, never a part; a killed
process leaves at most a file whose name begins with ``.tmp-``.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PREFIX = ".tmp-"


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable; some file systems refuse to sync a folder, and then there is no more to do."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _default_mode(base: int) -> int:
    """Mode a plain ``open`` or ``mkdir`` would give: mkstemp and mkdtemp keep the group out, shared folders need it."""
    mask = os.umask(0)
    os.umask(mask)
    return base & ~mask


@contextlib.contextmanager
def path_for(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; on leaving without an error the file written there takes its place.

    For libraries that insist on writing to a path themselves (parquet, safetensors, figures). The suffix is kept,
    because some of them choose the format by it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=PREFIX, suffix="".join(target.suffixes), dir=target.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.chmod(_default_mode(0o666))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(target.parent)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` to `path` whole or not at all."""
    with path_for(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Write `content` to `path` in UTF-8 with ``\\n`` line ends, whole or not at all."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Any, *, indent: int | None = 2) -> None:
    """Write `value` as JSON, whole or not at all.

    Raises
    ------
    ValueError
        If `value` holds NaN or an infinity: they are not JSON, and other readers refuse the file.
    """
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


@contextlib.contextmanager
def whole_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give an empty temporary directory beside `path`; on leaving without an error it takes the place of `path`.

    An older directory of that name is moved aside first and removed last, so that an interruption between the two
    renames loses nothing: the old content then lies beside under a ``.tmp-`` name.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=PREFIX, dir=target.parent))
    try:
        yield temporary
        temporary.chmod(_default_mode(0o777))
        old = None
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=PREFIX, dir=target.parent))
            target.rename(old / "old")
        temporary.rename(target)
        if old is not None:
            shutil.rmtree(old)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _flush_folder(target.parent)


def sha256(path: str | os.PathLike[str]) -> str:
    """Hash of a file's bytes as hexadecimal digits, read in blocks: a file larger than memory is no trouble."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
