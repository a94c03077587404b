"""Write files and directories so that whatever stands under its final name is whole.

Everything is written under a temporary name in the target's own folder (a rename is atomic only within one file
system), flushed to the disk and then renamed. A reader sees the old content or the new one, never a part; a killed
process leaves at most a file whose name begins with ``.tmp-``. The name also holds host and process, so that the next
process that writes to the folder can tell what a dead one left, and removes it.

A disk that is full or closed is said in one line with the file and the remedy, whichever library was writing.
"""

import contextlib
import errno
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

PREFIX = ".tmp-"

AGAIN = "then run the same command again; what is finished stays"
REMEDIES = {
    errno.ENOSPC: f"free space on this disk, {AGAIN}",
    errno.EDQUOT: f"free space or have the quota raised, {AGAIN}",
    errno.EFBIG: f"raise the limit on the size of a file (ulimit -f), {AGAIN}",
    errno.EROFS: f"mount the file system for writing, or set `paths` in params.yaml to another place, {AGAIN}",
    errno.EACCES: f"give yourself the right to write in this folder, {AGAIN}",
}
PROBE_BYTES = 1 << 20


def own_prefix() -> str:
    """How the names of this process's temporary files begin."""
    return f"{PREFIX}{_host()}-{os.getpid()}-"


@functools.cache
def _host() -> str:
    return re.sub("[^A-Za-z0-9]", "_", platform.node())


@functools.cache  # once per process: those that were dead before it are all there
def sweep(folder: Path) -> None:
    """Remove what dead processes of this host left half-written in `folder`."""
    begin = f"{PREFIX}{_host()}-"
    for path in folder.iterdir():
        process = path.name.removeprefix(begin).partition("-")[0]
        if path.name.startswith(begin) and process.isdigit() and not _lives(process):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):  # another user's, or gone meanwhile: it does no harm
                    path.unlink()


def _lives(process: str) -> bool:
    import psutil

    with contextlib.suppress(OverflowError):  # no such number
        return psutil.pid_exists(int(process))
    return False


@contextlib.contextmanager
def _with_remedy(target: Path) -> Iterator[None]:
    """Turn the failure of a write into one OSError that names the file and what to do."""
    try:
        yield
    except Exception as error:
        code = _disk_fault(error, target.parent)
        if code is None:
            raise
        raise OSError(code, f"{os.strerror(code)}: {target} was not written; {REMEDIES[code]}") from error


def _disk_fault(error: Any, folder: Path) -> int | None:
    """The number of the system's error behind a failed write, or None where the disk is not at fault.

    Not every library passes it on: safetensors has it in its text, torch and numpy say something else altogether. Then
    the disk itself is asked.
    """
    if getattr(error, "filename", None) is not None:
        named, here = Path(os.fsdecode(error.filename)).absolute(), folder.absolute()
        if not (named.is_relative_to(here) or here.is_relative_to(named)):
            return None  # of reading what is to be written, or of another disk
    told = re.search(r"\(os error (\d+)\)", str(error))
    code = getattr(error, "errno", None) or (int(told[1]) if told else None)
    if code is None and not isinstance(error, ValueError) and folder.is_dir():
        try:
            with tempfile.TemporaryFile(prefix=own_prefix(), dir=folder) as probe:
                probe.write(bytes(PROBE_BYTES))
        except OSError as refused:
            code = refused.errno
    return code if code in REMEDIES else None


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
    """Give a temporary path next to `path`; on leaving without an error the file written there takes its place.

    For libraries that insist on writing to a path themselves (parquet, safetensors, figures). The suffix is kept,
    because some of them choose the format by it.
    """
    target = Path(path)
    with _with_remedy(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=own_prefix(), suffix="".join(target.suffixes), dir=target.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        with _with_remedy(target):
            yield temporary
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            temporary.chmod(_default_mode(0o666))
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(target.parent)
    sweep(target.parent.absolute())


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` to `path` whole or not at all."""
    with path_for(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Write `content` to `path` in UTF-8 with ``\\n`` line ends, whole or not at all."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Any, *, indent: int | None = 2) -> None:
    """Write `value` as JSON, whole or not at all.

    ValueError where it holds NaN or an infinity: they are not JSON, and other readers refuse the file.
    """
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


@contextlib.contextmanager
def whole_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give an empty temporary directory next to `path`; on leaving without an error it takes the place of `path`.

    An older directory of that name is moved aside first and removed last, so that an interruption between the two
    renames loses nothing: the old content then lies next to it under a ``.tmp-`` name.
    """
    target = Path(path)
    with _with_remedy(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=own_prefix(), dir=target.parent))
    try:
        with _with_remedy(target):
            yield temporary
            for made in (temporary, *temporary.rglob("*")):
                if not made.is_symlink():  # libraries that write by mkstemp, as safetensors does, keep others out
                    made.chmod(_default_mode(stat.S_IMODE(made.stat().st_mode) | (0o777 if made.is_dir() else 0o666)))
            old = None
            if target.exists():
                old = Path(tempfile.mkdtemp(prefix=own_prefix(), dir=target.parent))
                target.rename(old / "old")
            temporary.rename(target)
        if old is not None:
            shutil.rmtree(old)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _flush_folder(target.parent)
    sweep(target.parent.absolute())


def remove(paths: Iterable[Path]) -> None:
    """Remove files, and folders with what is in them."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def sha256(path: str | os.PathLike[str]) -> str:
    """Hash of a file's bytes as hexadecimal digits, read in blocks: a file larger than memory is no trouble."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def mismatch(path: Path, found: str | None, expected: str | None, *, by: str) -> str:
    """Say that a file is missing (`found` None) or has another sha256 than `by` says; empty where it has that."""
    if found == expected:
        return ""
    return f"{path}: sha256 is {found}, {by} says {expected}" if found else f"{path}: is missing, {by} names it"


def mismatches(folder: Path, hashes: Mapping[str, str | None], *, by: str) -> list[str]:
    """Hold files below `folder` against the sha256 that `by` says they have; a text for each that has it not."""
    told = []
    for name, expected in hashes.items():
        path = folder / name
        told.append(mismatch(path, sha256(path) if path.is_file() else None, expected, by=by))
    return [text for text in told if text]


def verify(folder: Path, hashes: Mapping[str, str | None], *, by: str, remedy: str) -> None:
    """Raise ValueError with `remedy` for the `mismatches` of files, if there are any."""
    if told := mismatches(folder, hashes, by=by):
        raise ValueError(f"{'; '.join(told)}; {remedy}")
