"""A folder laid out like the Hub, KIND/ID/FILES, for machines that cannot reach it: filled, recorded, checked.

mirror.json says, per repository, the commit and each file's sha256 and bytes: what is there can be held against it
without a network.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frod.files import mismatch, mismatches, sha256, write_json
from frod.hub.access import RECORD, Kind, Listing, explained, listing, recorded

SHARD = re.compile(r"-(\d{5})-of-(\d{5})\b")


@dataclass(frozen=True)
class Repository:
    """What is needed of a repository of the Hub."""

    kind: Kind
    id: str
    revision: str | None
    """Commit; None: the one that the mirror has, else the newest."""
    patterns: tuple[str, ...]
    """Of files; each must match one."""
    optional: tuple[str, ...] = ()
    """Patterns that may match none."""
    gated: bool = False
    rows: dict[str, int] = field(default_factory=dict)
    """By pattern, of parquet files: the rows that they hold together."""

    @property
    def name(self) -> str:
        """Folder below the mirror."""
        return f"{self.kind}/{self.id}"


def listed(mirror: Path, need: Repository) -> Listing:
    """Ask the Hub what is to be fetched.

    Raises
    ------
    ValueError
        As frod.hub.listing; or a pattern matches no file.
    """
    revision = need.revision or recorded(mirror).get(need.name, {}).get("revision")
    found = listing(need.kind, need.id, revision, [*need.patterns, *need.optional], gated=need.gated)
    _check_matched(need, found.bytes)
    return found


def absent(mirror: Path, need: Repository, found: Listing) -> list[str]:
    """Return the files that are not there or not the Hub's: another size, or another sha256 where one is known."""
    known = recorded(mirror).get(need.name, {})
    files = known.get("files", {}) if known.get("revision") == found.revision else {}

    def right(name: str) -> bool:
        path = mirror / need.name / name
        expected = found.sha256.get(name) or files.get(name, {}).get("sha256")
        if not path.is_file() or path.stat().st_size != found.bytes[name] or expected is None:
            return False
        return sha256(path) == expected

    return [name for name in found.bytes if not right(name)]


def fetch(mirror: Path, need: Repository, found: Listing, names: list[str]) -> None:
    """Fetch files of a repository and record them all.

    Raises
    ------
    ValueError
        As frod.hub.snapshot; or a file is not the one that the Hub says it has.
    """
    from glob import escape

    from huggingface_hub import snapshot_download

    folder = mirror / need.name
    # Half a file of a killed fetch is not gone on with by the Hub's library, and would take its place on the disk.
    for path in (*(folder / name for name in names), *(folder / ".cache").rglob("*.incomplete")):
        path.unlink(missing_ok=True)
    if names:
        with explained(need.kind, need.id, found.revision, gated=need.gated):
            snapshot_download(
                need.id,
                repo_type=need.kind.removesuffix("s"),
                revision=found.revision,
                local_dir=folder,
                allow_patterns=[escape(name) for name in names],
            )
    files = {name: {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size} for name in found.bytes}
    for name, expected in found.sha256.items():
        if told := mismatch(folder / name, files[name]["sha256"], expected, by="the Hub"):
            (folder / name).unlink()
            raise ValueError(f"{told}; fetch again")
    _record(mirror, need, found.revision, files)
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def _record(mirror: Path, need: Repository, revision: str, files: dict[str, Any]) -> None:
    """Enter files into mirror.json; those of an older commit of the repository are removed."""
    repositories = recorded(mirror)
    old = repositories.get(need.name, {"revision": revision, "files": {}})
    if old["revision"] == revision:
        files = old["files"] | files
    for name in set(old["files"]) - set(files):
        (mirror / need.name / name).unlink(missing_ok=True)
    entry = {"revision": revision, "files": dict(sorted(files.items()))}
    write_json(mirror / RECORD, {"repositories": dict(sorted((repositories | {need.name: entry}).items()))})


def faults(mirror: Path, needs: Iterable[Repository]) -> Iterator[str]:
    """Yield what is wrong with a mirror, a line each: files that are not the recorded ones, needs that are not met."""
    for name, entry in recorded(mirror).items():
        hashes = {file: facts["sha256"] for file, facts in entry["files"].items()}
        yield from (text.removeprefix(f"{mirror}/") for text in mismatches(mirror / name, hashes, by=RECORD))
    for need in needs:
        yield from _unmet(mirror, need)


def unrecorded(mirror: Path) -> list[str]:
    """Return the files that mirror.json does not name."""
    known = {f"{name}/{file}" for name, entry in recorded(mirror).items() for file in entry["files"]}
    paths = sorted(p for kind in ("datasets", "models") for p in (mirror / kind).rglob("*") if p.is_file())
    names = [path.relative_to(mirror).as_posix() for path in paths]
    return [name for name in names if name not in known and "/.cache/" not in name]


def _unmet(mirror: Path, need: Repository) -> Iterator[str]:
    folder = mirror / need.name
    if not folder.is_dir():
        yield f"{need.name}: is missing"
        return
    has = recorded(mirror).get(need.name, {}).get("revision")
    if has and need.revision and has != need.revision:
        yield f"{need.name}: is commit {has}, needed is {need.revision}"
    for pattern in need.patterns:
        files = sorted(folder.glob(pattern))
        shards = {int(match[2]) for file in files if (match := SHARD.search(file.name))}
        if not files:
            yield f"{need.name}/{pattern}: is missing"
        elif shards and shards != {len(files)}:
            yield f"{need.name}/{pattern}: {len(files)} files, their names promise {max(shards)}"
        elif pattern in need.rows:
            yield from _wrong_rows(need, pattern, files)


def _wrong_rows(need: Repository, pattern: str, files: list[Path]) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = sum(pq.read_metadata(file).num_rows for file in files)
    except (pa.ArrowInvalid, OSError) as error:
        yield f"{need.name}/{pattern}: is no whole parquet file ({str(error).splitlines()[0]})"
        return
    if rows != need.rows[pattern]:
        yield f"{need.name}/{pattern}: {rows} rows, the registry says {need.rows[pattern]}"


def _check_matched(need: Repository, names: Iterable[str]) -> None:
    from huggingface_hub.utils import filter_repo_objects

    names = list(names)
    unmatched = [p for p in need.patterns if not list(filter_repo_objects(names, allow_patterns=[p]))]
    if unmatched:
        raise ValueError(f"{need.name}: the Hub has no file {', '.join(unmatched)} in it")
