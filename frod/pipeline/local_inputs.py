"""The state of a user's own data and weights, by content: a clone has other times than the folder it was made from.

Whatever changes it makes what was prepared from the files stale. Each file is hashed once and then remembered by its
size and time, as git does it, so that a later look costs no reading.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from frod import files
from frod.provenance import hashes

FILE = Path(".snakemake/frod-own-files.json")  # of this machine alone; it may be deleted
SETTLED_SECONDS = 2.0  # a file written to later than so may change once more within the same tick of a coarse clock


def check_seen_by_dvc(paths: Iterable[Path], *, folder: Path, suite: str) -> None:
    """Where DVC runs the workflow, refuse what its stages do not depend on: it would call them up to date.

    Parameters
    ----------
    paths : iterable of Path
        The user's own data and weights.
    folder : Path
        paths.own of params.yaml, on which a stage depends.
    suite : str
        As params.yaml names it.

    Raises
    ------
    ValueError
        One line, with the remedy.
    """
    if "DVC_STAGE" not in os.environ:
        return
    if Path(suite).suffix == ".yaml":
        raise ValueError(f"suite: DVC takes no path; move {suite} to workflow/suites and say suite: {Path(suite).stem}")
    unseen = [str(path) for path in paths if not path.absolute().is_relative_to(folder.absolute())]
    if unseen:
        raise ValueError(
            f"source.path: DVC does not see changes of {', '.join(unseen)}: move it into {folder} (paths.own), or set "
            "paths.own to a folder above it"
        )


@functools.cache
def state(paths: tuple[Path, ...]) -> str:
    """Hash of the names and contents of files, and of all files in folders; empty where there is none.

    A missing one is left to the job to say. In one process the answer stays the same: what is changed while a workflow
    runs is new to the next one.
    """
    found = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    known = _remembered()
    contents: dict[str, str] = {}
    for file in filter(Path.is_file, found):
        place = str(file.resolve())
        try:
            contents[str(file)] = hashes.remembered(known, place, file)
        except OSError as error:  # left to the job to say, as what is missing
            contents[str(file)] = f"cannot be read: {error.strerror}"
        if time.time() - file.stat().st_mtime < SETTLED_SECONDS:
            known.pop(place, None)
    if not contents:
        return ""
    with contextlib.suppress(OSError):  # a folder that cannot be written to: the next look takes as long
        files.write_json(FILE, {place: entry for place, entry in known.items() if Path(place).exists()}, indent=None)
    return hashes.json_sha256(contents)


def _remembered() -> dict[str, tuple[str, str]]:
    """What is remembered; a damaged file costs only time."""
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        return {place: (signature, digest) for place, (signature, digest) in json.loads(FILE.read_text()).items()}
    return {}
