"""Which files hold a task's splits, the Hub's or your own; each is read by its kind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from frod.files import sha256
from frod.hub import snapshot
from frod.tasks import folders, labels, tables
from frod.tasks.examples import Source
from frod.tasks.registry import Hub, Local, TaskSpec

SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.parquet$")
FORMS = (".csv", ".tsv", ".parquet")


def read(task: TaskSpec, wanted: list[str], mirror: Path | None, scratch: Path) -> Source:
    """Read the splits of a task's data sets; `facts` of the source has those of others below `elsewhere`, by split.

    Parameters and errors as of `read_one`.
    """
    sources = [
        (part, read_one(part, mine, mirror, scratch, task.columns.text))
        for part, splits in task.by_source()
        if (mine := [split for split in wanted if split in splits])
    ]
    (_, first), *others = sources
    if not others:
        return first
    elsewhere = {split: source.facts for _, source in others for split in source.splits}
    splits = {split: examples for _, source in sources for split, examples in source.splits.items()}
    return Source(splits=splits, facts=first.facts | {"elsewhere": elsewhere}, class_names=first.class_names)


def read_one(task: TaskSpec, wanted: list[str], mirror: Path | None, scratch: Path, texts: list[str]) -> Source:
    """Read the splits of one data set.

    Parameters
    ----------
    task : TaskSpec
        Its source is a Hub or a Local.
    wanted : list of str
        Splits of the source; no file of another split is fetched.
    mirror : Path or None
        Folder with datasets/ID/CONFIG/SPLIT-*.parquet, looked up before the Hub.
    scratch : Path
        Folder that the inputs are read from as long as they are in use; the caller deletes it.
    texts : list of str
        What the task's prompt calls the data set's columns of text.

    Raises
    ------
    ValueError
        The data cannot be reached, a file is missing or broken, or a column is not of its type.
    """
    source, data = task.source, None
    if isinstance(source, Local) and task.kind == "images" and task.columns.image is None:
        return folders.read(source.path, task, wanted)
    if isinstance(source, Local):
        root = source.path if source.path.is_dir() else source.path.parent
        found = {split: _own(source.path, split) for split in wanted}
        facts: dict[str, Any] = {"what": f"path {source.path.name}", "revision": None}
    else:
        assert isinstance(source, Hub)
        patterns = {split: source.pattern(split) for split in wanted}
        data = snapshot("datasets", source.id, source.revision, list(patterns.values()), mirror)
        root, found = data.folder, {split: _shards(data.folder, pattern) for split, pattern in patterns.items()}
        facts = {"what": f"hub {source.id}, {source.config}", "revision": data.revision}
    everything = sorted({file for files in found.values() for file in files})
    facts["files"] = {file.relative_to(root).as_posix(): sha256(file) for file in everything}
    if data:
        for name, digest in facts["files"].items():
            data.check(name, digest)
    read = {split: tables.read(files, task, split, scratch, texts) for split, files in found.items()}
    names = next((names for _, names in read.values() if names), None)
    if names:
        labels.check_names(names, task)
    return Source(splits={split: examples for split, (examples, _) in read.items()}, facts=facts, class_names=names)


def _shards(root: Path, pattern: str) -> list[Path]:
    files = sorted(root.glob(pattern))
    if not files:
        raise ValueError(f"{root}: no file {pattern}; the mirror or download is not whole, fetch it again")
    numbers = [SHARD.search(file.name) for file in files]
    promised = {int(m[2]) for m in numbers if m}
    if promised and promised != {len(files)}:
        raise ValueError(f"{root}: {pattern} has {len(files)} files, their names promise {max(promised)}")
    return files


def _own(path: Path, split: str) -> list[Path]:
    """Return the files of a split of your own data."""
    if not path.exists():
        raise ValueError(f"source.path: {path} does not exist, seen from {Path.cwd()}")
    if path.is_file():
        if path.suffix not in FORMS:
            raise ValueError(f"source.path: {path} should end in one of {', '.join(FORMS)}")
        if split != "all":
            raise ValueError(f"source.path: {path} is one file, its only split is 'all'; {split!r} is asked for")
        return [path]
    whole = [file for form in FORMS if (file := path / f"{split}{form}").is_file()]
    if len(whole) > 1:
        raise ValueError(f"{path}: split {split} is there twice, as {' and '.join(file.name for file in whole)}")
    if whole:
        return whole
    if not list(path.glob(f"{split}-*.parquet")):
        raise ValueError(f"{path}: no file {split}.csv, {split}.tsv, {split}.parquet or {split}-*.parquet")
    return _shards(path, f"{split}-*.parquet")
