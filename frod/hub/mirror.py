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

from frod.config.schema import inside
from frod.files import mismatches, sha256, write_json
from frod.hub.access import RECORD, Kind, explained, named, recorded
from frod.provenance.artefacts import first_line

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

    @property
    def type(self) -> str:
        """Kind, as the Hub's library calls it."""
        return self.kind.removesuffix("s")


@dataclass(frozen=True)
class Plan:
    """What a fetch of a repository brings."""

    revision: str
    """The commit."""
    bytes: dict[str, int]
    """Size of each needed file."""
    missing: list[str]
    """Those that are not there with the Hub's hash."""


def plan(mirror: Path, need: Repository) -> Plan:
    """Ask the Hub which files are needed, and hold those that are there against its hashes.

    ValueError as of `frod.hub.snapshot`, or where a pattern matches no file.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import filter_repo_objects

    revision = need.revision or recorded(mirror).get(need.name, {}).get("revision")
    with explained(need.kind, need.id, revision, gated=need.gated):
        info = HfApi().repo_info(need.id, repo_type=need.type, revision=revision, files_metadata=True)
    if info.sha is None:
        raise ValueError(f"{named(need.kind, need.id, revision)}: the Hub names no commit of it; fetch it again")
    # By name: of the kinds of repositories that the library knows, one has no files.
    sizes = {file.rfilename: file.size or 0 for file in getattr(info, "siblings", None) or ()}
    try:
        for name in sizes:
            inside(name)
    except ValueError as error:
        raise ValueError(f"{named(need.kind, need.id, revision)}: the name of a file {error}") from None
    unmatched = [p for p in need.patterns if not any(filter_repo_objects(sizes, allow_patterns=[p]))]
    if unmatched:
        raise ValueError(f"{need.name}: the Hub has no file {', '.join(unmatched)} in it")
    names = list(filter_repo_objects(sizes, allow_patterns=[*need.patterns, *need.optional]))
    return Plan(info.sha, {name: sizes[name] for name in names}, _wrong(mirror, need, info.sha, names))


def fetch(mirror: Path, need: Repository, plan: Plan) -> None:
    """Fetch what is missing of a repository and record all its files.

    ValueError as of `frod.hub.snapshot`, or where a file is not the one that the Hub says it has.
    """
    from glob import escape

    from huggingface_hub import snapshot_download

    folder = mirror / need.name
    if plan.missing:
        # Not by force_download, whose error says no reason. Notes of a killed fetch know times, but no content.
        shutil.rmtree(folder / ".cache", ignore_errors=True)
        _remove(folder, plan.missing)
        with explained(need.kind, need.id, plan.revision, gated=need.gated):
            snapshot_download(
                need.id,
                repo_type=need.type,
                revision=plan.revision,
                local_dir=folder,
                allow_patterns=[escape(name) for name in plan.missing],
            )
        shutil.rmtree(folder / ".cache", ignore_errors=True)
        wrong = _wrong(mirror, need, plan.revision, plan.missing)  # the library has compared the sizes only
        if wrong:
            _remove(folder, wrong)
            raise ValueError(f"{need.name}: {', '.join(wrong)} came with another hash than the Hub says; fetch again")
    files = {name: {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size} for name in plan.bytes}
    _record(mirror, need, plan.revision, files)


def _wrong(mirror: Path, need: Repository, revision: str, names: list[str]) -> list[str]:
    """Return the files that are missing or have another hash than the Hub's."""
    from huggingface_hub import HfApi

    folder = mirror / need.name
    if not folder.is_dir():
        return names
    with explained(need.kind, need.id, revision, gated=need.gated):
        found = HfApi().verify_repo_checksums(need.id, repo_type=need.type, revision=revision, local_dir=folder)
    return [name for name in names if name in {*found.missing_paths, *(bad["path"] for bad in found.mismatches)}]


def _remove(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _record(mirror: Path, need: Repository, revision: str, files: dict[str, Any]) -> None:
    """Enter files into mirror.json; those of an older commit of the repository are removed."""
    repositories = recorded(mirror)
    old = repositories.get(need.name, {"revision": revision, "files": {}})
    if old["revision"] == revision:
        files = old["files"] | files
    _remove(mirror / need.name, set(old["files"]) - set(files))
    entry = {"revision": revision, "files": dict(sorted(files.items()))}
    write_json(mirror / RECORD, {"repositories": dict(sorted((repositories | {need.name: entry}).items()))})


def faults(mirror: Path, needs: Iterable[Repository]) -> Iterator[str]:
    """Yield what is wrong with a mirror, a line each: files that are not the recorded ones, needs that are not met.

    The Hub's library has such a check, too, but asks the Hub for the hashes: this one needs no network.
    """
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
        yield f"{need.name}/{pattern}: is no whole parquet file ({first_line(error)})"
        return
    if rows != need.rows[pattern]:
        yield f"{need.name}/{pattern}: {rows} rows, the registry says {need.rows[pattern]}"
