"""Whole files: a folder is written under a temporary name and renamed, so that what has its final name is finished."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_directory(out: Path) -> Iterator[Path]:
    """Give a temporary folder beside `out` to fill; it takes the name `out` when the block ends without an error.

    What `out` held before is replaced. On an error nothing is left behind and `out` is as it was.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        temporary.chmod(0o777 & ~_umask())  # mkdtemp makes folders that only their owner may read
        yield temporary
        if out.is_dir() and not out.is_symlink():
            # A folder cannot be renamed onto a full one. Moving the old one aside first leaves no moment in which
            # `out` is there but half of each.
            aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
            os.replace(out, aside)
            os.replace(temporary, out)
            shutil.rmtree(aside)
        else:
            os.replace(temporary, out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
