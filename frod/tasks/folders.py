"""Images of your own in folders: SPLIT/CLASS/*.png, or CLASS/*.png."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from frod.config.schema import did_you_mean
from frod.files import sha256
from frod.tasks.examples import Examples, Lazy, Source, listed
from frod.tasks.registry import TaskSpec, composed

SUFFIXES = (".png", ".jpg", ".jpeg")


def read(root: Path, task: TaskSpec, wanted: list[str]) -> Source:
    """List the images; each is read when it is asked for.

    Their order, and so their ids, is that of their names. Classes are the names of the folders: in the order that the
    task gives, or in alphabetical order where it only says how many there are. ValueError where a folder is missing, is
    no class, or holds something else than images, or `classes` does not count the folders.
    """
    if not root.is_dir():
        raise ValueError(f"source.path: {root} is not a folder of images, seen from {Path.cwd()}")
    whole = wanted == ["all"] and not (root / "all").is_dir()
    found = {split: images(root if whole else root / split) for split in wanted}
    folders = sorted({composed(path.parent.name) for paths in found.values() for path in paths})
    for split, paths in found.items():
        written = [composed(name) for name in {path.parent.name for path in paths}]
        if twice := sorted({name for name in written if written.count(name) > 1}):
            raise ValueError(
                f"{root}: split {split}: {twice} have two folders of this name, in other Unicode; join them"
            )
    names = _classes(folders, task, root)
    facts = {
        "what": f"path {root.name}",
        "revision": None,
        "files": {f"{split}/*/*": digest(root if whole else root / split, paths) for split, paths in found.items()},
    }
    return Source(
        splits={split: _examples(paths, names) for split, paths in found.items()}, facts=facts, class_names=names
    )


def images(folder: Path) -> list[Path]:
    """Return the images CLASS/*.png of a folder, sorted by name; ValueError where there is anything else."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is missing; a split of images is a folder of a folder for each class")
    paths = sorted(folder.glob("[!.]*/[!.]*"), key=lambda path: composed(str(path)))
    for path in paths:
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            raise ValueError(f"{path}: is no image; the folder of a class holds {', '.join(SUFFIXES)} files")
    if not paths:
        raise ValueError(f"{folder} has no images; they lie in a folder for each class, CLASS/*.png or *.jpg")
    return paths


def _classes(folders: list[str], task: TaskSpec, root: Path) -> list[str]:
    names = task.classes if isinstance(task.classes, list) and task.relabel is None else folders
    unknown = sorted(set(folders) - set(names))
    if unknown:
        meant = "".join(did_you_mean(name, names) for name in unknown)
        raise ValueError(f"{root}: the folders {unknown} are none of the classes {listed(names)}{meant}")
    if len(names) != task.source_classes:
        raise ValueError(f"classes: {root} has {len(names)} folders, {names}; classes says {task.source_classes}")
    return names


def _examples(paths: list[Path], names: list[str]) -> Examples:
    rows = np.arange(len(paths), dtype=np.int64)
    labels = np.array([names.index(composed(path.parent.name)) for path in paths], dtype=np.int64)
    return Examples(inputs=Lazy(lambda row: paths[row], rows), labels=labels, ids=rows)


def digest(folder: Path, paths: list[Path]) -> str:
    """Hash of the names and contents of a split's images; a name is the same however Unicode composes it."""
    lines = (f"{sha256(path)} {composed(path.relative_to(folder).as_posix())}\n" for path in paths)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
