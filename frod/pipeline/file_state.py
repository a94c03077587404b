"""What is known here of each output: content, how it was made, from what; and the backup, the same as DVC keeps it.

The backup is plain and repeatable (no times, no machine): equal outputs made in an equal way give an equal backup. The
file state, in ``.snakemake``, is this machine's: it adds the size and time that each file had when it was hashed, so
that a file is read again only if these have changed. It may be deleted; then everything is hashed once more.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frod import files
from frod.pipeline import metadata
from frod.provenance import hashes

LAYOUT = 1
FILE = ".snakemake/frod-file-state.json"


@dataclass(frozen=True)
class Entry:
    """One output: the hash of its content, Snakemake's record of it, and the hash of each input (None: not known)."""

    sha256: str
    record: dict[str, Any]
    inputs: dict[str, str | None]


def _pack(entries: Mapping[str, Entry]) -> dict[str, Any]:
    """Entries as plain data; a record that several outputs of one job share stands once."""
    records: list[dict[str, Any]] = []
    places: dict[str, int] = {}
    outputs: dict[str, list[Any]] = {}
    for path in sorted(entries):
        made = {"record": entries[path].record, "inputs": entries[path].inputs}
        place = places.setdefault(json.dumps(made, sort_keys=True), len(records))
        if place == len(records):
            records.append(made)
        outputs[path] = [entries[path].sha256, place]
    return {"layout": LAYOUT, "records": records, "outputs": outputs}


def _unpack(packed: dict[str, Any]) -> dict[str, Entry]:
    if packed.get("layout") != LAYOUT:
        raise ValueError(f"layout is {packed.get('layout')!r}, expected {LAYOUT}")
    records = packed["records"]
    return {
        path: Entry(digest, records[place]["record"], records[place]["inputs"])
        for path, (digest, place) in packed["outputs"].items()
    }


def read_backup(path: Path) -> dict[str, Entry]:
    """Entries of a backup; none where there is no file.

    ValueError where the file is no backup: it decides what is made again, so it is not passed over.
    """
    try:
        return _unpack(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{path}: cannot be read ({error}); `dvc checkout {path}`, or delete it to start again"
        ) from error


def write_backup(path: Path, entries: Mapping[str, Entry]) -> None:
    """Write a backup, unless the file already says the same: DVC need not hash it again then."""
    _write_if_changed(
        path, json.dumps(_pack(entries), ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n"
    )


def _write_if_changed(path: Path, text: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.read_text(encoding="utf-8") == text:
            return
    files.write_text(path, text)


class FileState:
    """This machine's knowledge of the outputs, read at the start of a workflow and written at its end.

    Attributes
    ----------
    entries : dict
        Outputs whose making is known, by path relative to `root`.
    ends : dict
        When Snakemake's record of an output says it was made, as of the last look: tells a new record from an old one.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.entries: dict[str, Entry] = {}
        self.ends: dict[str, float] = {}
        self._unknown: dict[str, str] = {}  # signature of outputs whose making is not known, and of files next to them
        self._hashes: dict[str, tuple[str, str]] = {}  # signature and hash of everything ever hashed
        self._before: dict[str, tuple[str, str]] = {}  # the same as of the last look: before the jobs now ended began
        self._backups: dict[str, str] = {}

    @classmethod
    def read(cls, root: Path) -> "FileState":
        """The file state of a working directory; an empty one if it is missing or damaged, which costs only time."""
        file_state = cls(root)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            packed = json.loads((root / FILE).read_text(encoding="utf-8"))
            entries = _unpack(packed)
            unknown, backups = dict(packed["unknown"]), dict(packed["backups"])
            file_state._hashes = {path: (signature, digest) for path, (signature, digest) in packed["hashes"].items()}
            file_state.ends = dict(packed["ends"])
            file_state.entries, file_state._unknown, file_state._backups = entries, unknown, backups
            file_state._before = dict(file_state._hashes)
        return file_state

    def write(self) -> None:
        """Write the file state, if the working directory has Snakemake's folder or may have it."""
        more = {"unknown": self._unknown, "backups": self._backups, "hashes": self._hashes, "ends": self.ends}
        _write_if_changed(self.root / FILE, json.dumps({**_pack(self.entries), **more}, separators=(",", ":")))

    def signature(self, path: str) -> str:
        """Of `path` as it is now; see `frod.provenance.hashes`."""
        return hashes.signature(hashes.standing_for(self.root / path))

    def settled(self, path: str) -> bool:
        """Whether `path` is as it was when it was last looked at."""
        signature = self.signature(path)
        if path in self.entries:
            known = self._hashes.get(path)
            return known is not None and known[0] == signature and known[1] == self.entries[path].sha256
        return self._unknown.get(path) == signature

    def sha256(self, path: str) -> str:
        """Hash of the content of `path`."""
        return hashes.remembered(self._hashes, path, hashes.standing_for(self.root / path))

    def settle(self, path: str, entry: Entry | None, *, end: float, before: str | None = None) -> None:
        """Note that `path` is now as `entry` says, or that nothing is known of it; `end` as in `ends`.

        `before` is its signature before its time was set: what was hashed then need not be hashed again.
        """
        signature = self.signature(path)
        self.ends[path] = end
        known = self._hashes.get(path)
        if known is not None and known[0] == before:
            self._hashes[path] = (signature, known[1])
        if entry is None:
            self.entries.pop(path, None)
            self._unknown[path] = signature
        else:
            self._unknown.pop(path, None)
            self.entries[path] = entry

    def forget_all_but(self, outputs: Iterable[str]) -> None:
        """Drop outputs that are gone, so that the file state does not grow for ever."""
        present = set(outputs)
        self.entries = {path: entry for path, entry in self.entries.items() if path in present}
        self._unknown = {path: signature for path, signature in self._unknown.items() if path in present}
        self.ends = {path: end for path, end in self.ends.items() if path in present}

    def entry_from(self, path: str, record: dict[str, Any]) -> Entry:
        """Entry of an output that Snakemake has just made, by Snakemake's record of it.

        An input that has changed since the job began was perhaps another one; its hash is then not known. By the clock,
        or where that was set back meanwhile, by the last look at the input, which was before the job.
        """
        started = record.get("starttime") or 0.0
        inputs: dict[str, str | None] = {}
        for name in sorted(record.get("input") or ()):
            if os.path.isabs(name) or not (self.root / name).exists():
                continue
            unchanged = metadata.newest_time(str(self.root / name)) <= started or (
                self._before.get(name, ("", ""))[0] == self.signature(name)
            )
            inputs[name] = self.sha256(name) if unchanged else None
        return Entry(self.sha256(path), {field: record.get(field) for field in metadata.FIELDS}, inputs)

    def backup_changed(self, path: str) -> bool:
        """Whether the backup is another than the one last seen: then DVC has brought it."""
        return self._digest(path) != self._backups.get(path, "")

    def see_stash(self, path: str) -> None:
        """Remember the backup as it is now."""
        self._backups[path] = self._digest(path)

    def _digest(self, path: str) -> str:
        return files.sha256(self.root / path) if (self.root / path).exists() else ""
