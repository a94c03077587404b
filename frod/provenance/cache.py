"""A cache for what many suites and checkouts share: bases and pre-trained backbones.

An entry is a directory under its key, the hash of everything it was made from, with a manifest of the sha256 of its
files. The cache saves time and decides nothing: an entry whose content is not the one in its manifest is reported,
removed and made again, and a cache that cannot be written is reported and done without.

Files are copied (as a reflink where the file system has them), never linked: whoever changes a result by accident must
not change the cache with it.
"""

import contextlib
import errno
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from frod import files
from frod.provenance import artefacts, hashes

MANIFEST = "manifest.json"
CONTENT = "content"
LAYOUT = 1  # part of every key: entries of another layout are never looked at
ABANDONED_SECONDS = 24 * 3600
_FICLONE = 0x40049409  # Linux: share the blocks of one file with another, copied when either is written


def key_of(inputs: dict[str, Any]) -> str:
    """Key of an entry: the hash of all it depends on, as plain data (hashes of inputs and code, parameters, seeds)."""
    return hashes.json_sha256({"layout": LAYOUT, "inputs": inputs})


def location() -> Path:
    """FROD_CACHE, else ``frod`` in XDG_CACHE_HOME, else ``~/.cache/frod``."""
    own = os.environ.get("FROD_CACHE")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared and os.path.isabs(shared) else Path.home() / ".cache") / "frod"


def fetch(key: str, out_dir: str | os.PathLike[str]) -> bool:
    """Copy an entry to `out_dir`, which appears whole or not at all; False if there is none that is sound.

    The copy is checked, not the entry: so nothing that happens to the entry meanwhile goes unnoticed.
    """
    entry = _entry(key)
    if not os.path.isdir(entry):  # False also where the cache's folder may not be searched
        return False
    try:
        manifest = _read_manifest(entry, key)
        with files.whole_directory(out_dir) as temporary:
            for name in manifest:
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                _copy(entry / CONTENT / name, temporary / name)
            if told := files.mismatches(temporary, manifest, by=MANIFEST):
                raise ValueError("; ".join(told))
        return True
    except (ValueError, FileNotFoundError) as error:
        _discard(entry, str(error))
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT} or not os.access(Path(out_dir).parent, os.W_OK):
            raise  # the output's own disk is full or closed: computing the same again would meet the same wall
        _say(f"entry {key[:12]} cannot be read ({error}); computing it instead")
    return False


def store(key: str, out_dir: str | os.PathLike[str]) -> bool:
    """Copy `out_dir` into the cache under `key`; False, with a line on stderr, if that is not possible.

    Several processes may store the same key at once: each writes next to it and renames, the first wins, and the others
    find the place taken and leave it.
    """
    source = Path(out_dir)
    names = hashes.files_in(source)
    entry = _entry(key)
    temporary = None
    try:
        if entry.is_dir():
            return True
        entry.parent.mkdir(parents=True, exist_ok=True)
        _sweep(entry.parent)
        temporary = Path(tempfile.mkdtemp(prefix=files.own_prefix(), dir=entry.parent))
        (temporary / CONTENT).mkdir()
        for name in names:
            (temporary / CONTENT / name).parent.mkdir(parents=True, exist_ok=True)
            _copy(source / name, temporary / CONTENT / name)
        # Hashes of the copies: should the source change meanwhile, the entry is still what its manifest says.
        contents = hashes.tree_hashes(temporary / CONTENT)
        if contents.keys() != set(names):  # somebody empties the cache at this moment
            raise FileNotFoundError(f"files of {temporary} were removed")
        files.write_json(temporary / MANIFEST, {"key": key, "layout": LAYOUT, "files": contents})
        temporary.chmod(0o755)
        temporary.rename(entry)
        return True
    except OSError as error:
        if entry.is_dir():  # another process was first
            return True
        _say(f"{source} is not kept in {location()} ({error}); the result itself is unharmed")
        return False
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _entry(key: str) -> Path:
    if len(key) != 64 or not set(key) <= set("0123456789abcdef"):
        raise ValueError(f"key={key!r}: a cache key is 64 hexadecimal digits; make it with key_of")
    return location() / key[:2] / key


def _read_manifest(entry: Path, key: str) -> dict[str, str]:
    manifest = artefacts.read_json(entry / MANIFEST, keys=("key", "files"), remedy="it was never finished")
    listed = manifest["files"]
    if manifest["key"] != key or not isinstance(listed, dict):
        raise ValueError(f"its manifest is not that of key {key}")
    if outside := [name for name in listed if os.path.isabs(name) or ".." in Path(name).parts]:
        raise ValueError(f"its manifest names {outside}")
    return listed


def _copy(source: Path, target: Path) -> None:
    """Copy a file's content and mode, not its times: a fetched output is as new as its fetching."""
    with source.open("rb") as read, target.open("wb") as write:
        if not _reflink(read.fileno(), write.fileno()):
            shutil.copyfileobj(read, write, 1 << 20)
    shutil.copymode(source, target)


def _reflink(read: int, write: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    import fcntl

    try:
        fcntl.ioctl(write, _FICLONE, read)
    except OSError:  # another file system, or one without reflinks
        return False
    return True


def _discard(entry: Path, reason: str) -> None:
    _say(f"entry {entry.name[:12]} is not sound and is removed: {reason}; computing it again")
    try:
        # Renamed first: no other process must find it half removed.
        aside = Path(tempfile.mkdtemp(prefix=files.own_prefix(), dir=entry.parent)) / "entry"
        entry.rename(aside)
        shutil.rmtree(aside.parent)
    except OSError as error:
        _say(f"entry {entry} could not be removed ({error}); remove it by hand")


def _sweep(folder: Path) -> None:
    """Remove what killed processes left half-written: of this host at once, of others after a day."""
    files.sweep(folder.absolute())
    for path in folder.glob(f"{files.PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(path)


def _say(text: str) -> None:
    print(f"frod cache: {text}", file=sys.stderr, flush=True)
