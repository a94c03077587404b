"""Keep Snakemake's records and DVC's files together, so that neither takes the other's word for what it is not.

DVC replaces files under Snakemake's feet: a pull, a checkout, an experiment. Snakemake judges by times and by its
records, which DVC does not know of; left alone, it takes another commit's models for up to date, and DVC then records
them under parameters they were not made with. Therefore each DVC stage has one more output, its *backup*: for each file
the hash of its content, Snakemake's record of how it was made, and the hashes of what it was made from.

When a workflow starts, `restore` looks at every output. One that Snakemake made here and nothing has touched since is
left alone. Has anything else changed, all outputs are judged by content:

- content that the backup knows: the backup's record is the true one;
- content made from inputs other than those there now, or of unknown making: Snakemake is told to make it again.

All outputs then get one time, so that only content decides. When a workflow ends, `save` writes the backups. What was
found is kept in a file state in ``.snakemake``: files are hashed once, and an unchanged state costs a look at times.
"""

import functools
import os
import sys
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frod import files
from frod.pipeline import metadata
from frod.pipeline.file_state import Entry, FileState, read_backup, write_backup
from frod.pipeline.metadata import Metadata
from frod.provenance.hashes import MANIFESTS

# A network file system may show a file's final time a little after its job's end.
LATENCY_SECONDS = 2.0

# Of one machine, so DVC has none. Snakemake takes an output for stale if its benchmark is older than an input.
BENCHMARKS = "benchmarks"

NO_OUTPUTS = {metadata.TIMESTAMP, ".gitignore", ".gitkeep"}


@dataclass(frozen=True)
class Stage:
    """A DVC stage: the folders it owns and the file that keeps the records of what lies in them."""

    name: str
    folders: tuple[str, ...]
    backup: str


def restore(kept: list[Stage], *, root: Path) -> bool:
    """Bring Snakemake's records in line with the files, if anything but Snakemake has changed them; whether it had."""
    records = Metadata(root)
    if records.locked():
        say("another Snakemake works here, or one was killed: the outputs are left as they are")
        return False
    file_state = FileState.read(root)
    outputs = [path for stage in kept for path in _outputs(stage, root, records, file_state.entries)]
    settled = {path for path in outputs if file_state.settled(path)}
    foreign = (
        any(file_state.backup_changed(stage.backup) for stage in kept)
        or not all(
            path in settled or _just_made(path, root, records, file_state) or records.is_incomplete(path)
            for path in outputs
        )
        or _misdated(settled, root, file_state)
    )
    if foreign:
        _reconcile(kept, root, records, file_state)
        file_state.write()
    return foreign


def _outputs(stage: Stage, root: Path, records: Metadata, known: Collection[str]) -> list[str]:
    """All files in a stage's folders, and directories that are an output as a whole instead of the files in them.

    A directory is an output if it has a manifest, if it is among those `known`, or if Snakemake has a record of it.
    """
    found: list[str] = []
    pending = [folder for folder in stage.folders if (root / folder).is_dir()]
    while pending:
        folder = pending.pop()
        items = list(os.scandir(root / folder))
        if any(item.name in MANIFESTS for item in items):
            found.append(folder)
            continue
        for item in items:
            path = f"{folder}/{item.name}"
            if not item.is_dir(follow_symlinks=False):
                if item.name not in NO_OUTPUTS and not item.name.startswith(files.PREFIX):
                    found.append(path)
            elif item.name.startswith(files.PREFIX):  # what a killed job has left
                continue
            elif path in known or (records.has(path) and _valid(records.read(path))):
                found.append(path)
            else:
                pending.append(path)
    return found


def _misdated(settled: Collection[str], root: Path, file_state: FileState) -> bool:
    """Whether the times of an output and its inputs say something else than their contents.

    Snakemake takes an output for stale if an input is newer. Has the clock been set back in between, it repeats for
    ever what is right, or keeps what was made from something else; and as long as an input's time has not come, it
    throws away what was made from it.
    """

    @functools.cache  # most are inputs of many
    def time_of(name: str) -> float | None:
        return metadata.modification_time(str(root / name)) if (root / name).exists() else None

    sha256 = functools.cache(file_state.sha256)
    latest = time.time() + LATENCY_SECONDS
    for path in file_state.entries.keys() & settled:
        made = metadata.modification_time(str(root / path))
        if made > latest:
            return True
        for name, digest in file_state.entries[path].inputs.items():
            moment = time_of(name) if digest is not None else None
            if moment is None:
                continue
            newer, same = moment > made, sha256(name) == digest
            if not (newer or same) or (newer and same and name in file_state.entries):
                return True
    return False


def _valid(record: dict[str, Any] | None) -> bool:
    return record is not None and not metadata.is_unknown(record)


def _just_made(path: str, root: Path, records: Metadata, file_state: FileState) -> dict[str, Any] | None:
    """Snakemake's record of an output that it made here and that nothing has changed since."""
    record = records.read(path)
    if record is None or not _valid(record) or records.is_incomplete(path):
        return None
    end = record.get("endtime") or 0.0
    if end == file_state.ends.get(path):  # the record is the one that stood there at the last look, so it is not news
        return None
    place, latest = str(root / path), end + LATENCY_SECONDS
    # A directory keeps its stamp when DVC brings other files into it.
    made_then = abs(metadata.modification_time(place) - end) <= LATENCY_SECONDS
    return record if made_then and metadata.newest_time(place) <= latest else None


def _reconcile(kept: list[Stage], root: Path, records: Metadata, file_state: FileState) -> None:
    """Judge all outputs by content, write what Snakemake is to know of them, and give them one time."""
    stashed: dict[str, Entry] = {}
    for stage in kept:
        stashed |= read_backup(root / stage.backup)
    known = {**file_state.entries, **stashed}
    outputs = [path for stage in kept for path in _outputs(stage, root, records, known)]
    entries = {path: _entry_of(path, stashed, root, records, file_state) for path in outputs}
    inputs = {name for entry in entries.values() if entry for name in entry.inputs if (root / name).exists()}
    unfinished = {path for path, entry in entries.items() if entry is None and records.is_incomplete(path)}
    wrong = {path: _fault(entry, inputs, file_state) for path, entry in entries.items() if path not in unfinished}
    # Whole seconds: file systems that keep coarser times than their neighbours must not make outputs look older.
    now = float(int(time.time()))
    for path, fault in wrong.items():
        entry, signature = entries[path], file_state.signature(path)
        moment = metadata.set_modification_time(str(root / path), now)
        if entry is None or fault:
            records.mark_unknown(path, fault, moment)
        else:
            records.write(path, entry.record, moment)
        file_state.settle(path, entry, end=moment, before=signature)
    for benchmark in (root / BENCHMARKS).rglob("*.tsv"):
        metadata.set_modification_time(str(benchmark), now)
    file_state.forget_all_but(outputs)
    for stage in kept:
        file_state.see_stash(stage.backup)
    _report(wrong, entries)


def _entry_of(
    path: str, stashed: dict[str, Entry], root: Path, records: Metadata, file_state: FileState
) -> Entry | None:
    """What is known of how the content of `path` was made, or None."""
    for entry in (stashed.get(path), file_state.entries.get(path)):
        if entry is not None and entry.sha256 == file_state.sha256(path):
            return entry
    record = _just_made(path, root, records, file_state)
    return None if record is None else file_state.entry_from(path, record)


def _fault(entry: Entry | None, present: set[str], file_state: FileState) -> str:
    """Why an output is not what would be made now, as far as Snakemake cannot see it by itself; empty if it is.

    A missing input is no fault: Snakemake makes it, and what comes of it is judged then.
    """
    if entry is None:
        return "its origin is unknown"
    if entry.record.get("record_format_version") != metadata.RECORD_FORMAT:
        return "its record was written by another version of Snakemake"
    for name, digest in entry.inputs.items():
        if name in present and file_state.sha256(name) != digest:
            return f"{name} was another when it was made"
    return ""


def _report(wrong: dict[str, str], entries: dict[str, Entry | None]) -> None:
    # Files that lie next to an output (weights next to their manifest) are no outputs themselves: nothing to tell.
    near = {os.path.dirname(path) for path, entry in entries.items() if entry is not None}
    told = [path for path, fault in wrong.items() if fault and (entries[path] or os.path.dirname(path) not in near)]
    good = sum(not fault for fault in wrong.values())
    if good:
        say(f"{good} outputs are what their records say")
    if told:
        first = "; ".join(f"{path} ({wrong[path]})" for path in told[:3])
        say(f"{len(told)} outputs are not what this state's rules and inputs give, and count as out of date: {first}")


def save(kept: list[Stage], *, root: Path, required: Iterable[Stage] = ()) -> None:
    """Write each stage's backup, for DVC to keep with the stage's outputs.

    Outputs whose making is not known are left out; so are those of jobs that have not ended. A backup that would not
    change is not written. The folders and backups of `required` stages exist afterwards even if empty: DVC takes a
    missing output for a failure.
    """
    records = Metadata(root)
    if records.locked():
        return
    file_state = FileState.read(root)
    everything: list[str] = []
    for stage in kept:
        outputs = _outputs(stage, root, records, file_state.entries)
        everything += outputs
        made = {}
        for path in outputs:
            if file_state.settled(path) or records.is_incomplete(path):
                continue
            record = _just_made(path, root, records, file_state)
            if record is not None:
                made[path] = record
            elif not _valid(records.read(path)):
                moment = metadata.modification_time(str(root / path))
                records.mark_unknown(path, "its origin is unknown", moment)
                file_state.settle(path, None, end=moment)
        for path, record in made.items():
            file_state.settle(path, file_state.entry_from(path, record), end=record["endtime"])
        present = {
            path: file_state.entries[path]
            for path in outputs
            if path in file_state.entries and file_state.settled(path)
        }
        if stage in required:
            for folder in stage.folders:
                (root / folder).mkdir(parents=True, exist_ok=True)
        if present or stage in required or (root / stage.backup).exists():
            write_backup(root / stage.backup, present)
            file_state.see_stash(stage.backup)
    file_state.forget_all_but(everything)
    file_state.write()


def say(text: str) -> None:
    """Print a line on the state of the outputs."""
    print(f"frod state: {text}", file=sys.stderr, flush=True)
