"""What a data set holds: its splits, columns and classes, as far as the files themselves say."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frod.provenance.artefacts import first_line
from frod.tasks import columns, folders, tables
from frod.tasks.registry import composed
from frod.tasks.split_files import FORMS

if TYPE_CHECKING:
    import pandas as pd

LABELS = ("label", "labels", "class", "target", "category")
TEXTS = ("text", "sentence", "review", "question", "content")
MOST_CLASSES = 100
OWN = {"train": ("train", "all"), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a suite's task says of its data."""

    source: dict[str, Any]
    kind: str
    """images or sentences."""
    columns: dict[str, Any]
    classes: list[str]
    answers: list[str] | None = None
    """How the label column writes the classes, where it has neither their names nor 0, 1, ..."""
    rows: dict[str, int]
    """Examples by split of the source."""

    def splits(self) -> dict[str, dict[str, Any]]:
        """Return train, validation and test: the source's own, or a tenth and a fifth of train."""
        if len(self.rows) == 1:
            own: dict[str, str | None] = {"train": next(iter(self.rows)), "validation": None, "test": None}
        else:
            own = {name: next((split for split in known if split in self.rows), None) for name, known in OWN.items()}
        train = own["train"]
        if train is None:
            raise ValueError(f"--data: has the splits {list(self.rows)}; one of them should be called train")
        drawn = {"validation": self.rows[train] // 10, "test": self.rows[train] // 5}
        splits: dict[str, dict[str, Any]] = {"train": {"from": train}}
        for name, rows in drawn.items():
            splits[name] = {"from": own[name]} if own[name] else {"from": train, "rows": rows}
        return splits


def local(path: Path, root: Path, *, text: list[str], label: str | None) -> Found:
    """Look into a csv, tsv or parquet file, a folder of such files, or a folder of images.

    The path is seen from `root`, the folder of params.yaml. Columns that are not given are found by name and type.
    ValueError where there is no such file, it cannot be read, or what holds the text and the label cannot be told.
    """
    where = root / path
    if not where.exists():
        raise ValueError(f"--data: {path} does not exist, seen from {root}")
    if where.is_file() and where.suffix not in FORMS:
        raise ValueError(f"--data: {path} should end in one of {', '.join(FORMS)}, or be a folder of images")
    files = {"all": [where]} if where.is_file() else _by_split(where)
    _refuse_unknown(files, path)
    source = {"path": path.as_posix()}
    if not files and (text or label):
        raise ValueError(f"--text, --label: name columns of a table, and {path} is a folder of images; leave them out")
    return _tables(files, source, text, label) if files else _images(where, source)


def hub(
    id: str, revision: str | None, config: str, mirror: Path | None, *, text: list[str], label: str | None
) -> Found:
    """Look into a data set of the Hub, or of a mirror of it; arguments and errors as of `local`."""
    from frod.hub import snapshot

    patterns = {name: f"{name}/*.parquet".removeprefix("./") for name in (config, "data", ".")}
    data = snapshot("datasets", id, revision, list(patterns.values()), mirror)
    for name in patterns:
        files = _by_split(data.folder / name) if (data.folder / name).is_dir() else {}
        if files:
            source: dict[str, Any] = {"hub": f"{id}@{data.revision}" if data.revision else id, "config": config}
            if name != config:
                source["files"] = {split: f"{name}/{split}-*.parquet".removeprefix("./") for split in files}
            return _tables(files, source, text, label)
    raise ValueError(f"--data: {id} has no {config}/SPLIT-*.parquet; name one of its configurations by --config")


def _refuse_unknown(names: Iterable[str], path: Path) -> None:
    """Refuse a folder of splits of which some have no name that says what they are for: they would go unused."""
    known = [name for name in names if any(name in of for of in OWN.values())]
    others = [name for name in names if name not in known]
    if known and others:
        raise ValueError(
            f"--data: {path} has the splits {known}, and {others}, which are none; call them train, validation or "
            "test, or put them elsewhere"
        )


def _by_split(folder: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix in FORMS:
            files.setdefault(file.stem.partition("-")[0], []).append(file)
    return files


def _images(root: Path, source: dict[str, Any]) -> Found:
    """CLASS/*.png, or SPLIT/CLASS/*.png."""
    inner = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    _refuse_unknown(inner, Path(source["path"]))
    splits = {split: root / split for split in inner if any(split in known for known in OWN.values())} or {"all": root}
    paths = {split: folders.images(folder) for split, folder in splits.items()}
    classes = sorted({composed(path.parent.name) for found in paths.values() for path in found})
    return Found(
        source=source, kind="images", columns={}, classes=classes, rows={split: len(p) for split, p in paths.items()}
    )


def _tables(files: dict[str, list[Path]], source: dict[str, Any], text: list[str], label: str | None) -> Found:
    import pandas as pd

    frames = {split: pd.concat([_read(file) for file in found]) for split, found in files.items()}
    shown = next((split for split in OWN["train"] if split in files), next(iter(files)))
    where, first = files[shown][0], frames[shown]
    columns.check_there(where, list(map(str, first)), [label] if label else [])
    label = label or _label(first, where)
    images = [name for name in first if first[name].map(lambda cell: isinstance(cell, dict) and "bytes" in cell).all()]
    texts = [] if images else text or _text(first, label, where)
    for split, table in frames.items():
        columns.check_there(files[split][0], list(map(str, table)), [*texts, label])
    named_by_datasets = None  # into a parquet file
    if where.suffix == ".parquet":
        schema = tables.parquet_schema(where)[0]
        columns.check_label(where, schema, label)
        named_by_datasets = tables.names_of_classes(where, schema, label)
    labelled = {split: table for split, table in frames.items() if not table[label].isin([-1, "-1"]).any()}
    written = _written(pd.concat(list(labelled.values()))[label], where, label)
    names = named_by_datasets or list(dict.fromkeys(composed(str(value)) for value in written))
    named = {composed(value) if isinstance(value, str) else value for value in written}
    plain = named == set(names) or written == list(range(len(names)))
    return Found(
        source=source,
        kind="images" if images else "sentences",
        columns={**({"image": images[0]} if images else {"text": texts}), "label": label},
        classes=names,
        answers=None if plain else [str(value) for value in written],
        rows={split: len(table) for split, table in labelled.items()},
    )


def _read(file: Path) -> pd.DataFrame:
    import pandas as pd

    if file.suffix == ".parquet":
        tables.parquet_schema(file)
    else:
        tables.check_lines(file, [])
    try:
        if file.suffix == ".parquet":
            return pd.read_parquet(file)
        if file.suffix == ".tsv":  # without quoting, as frod.tasks reads it
            return pd.read_csv(file, sep="\t", quoting=csv.QUOTE_NONE, dtype=str, keep_default_na=False)
        return pd.read_csv(file, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:  # pandas' own errors of parsing are ValueErrors, as pyarrow's
        raise ValueError(f"{file}: cannot be read ({first_line(error)})") from None


def _label(table: pd.DataFrame, where: Path) -> str:
    named = [name for name in LABELS if name in table]
    most = min(MOST_CLASSES, len(table) // 2)
    few = [name for name in table if isinstance(name, str) and 2 <= table[name].astype(str).nunique() <= most]
    if not named and len(few) != 1:
        raise ValueError(f"{where}: which of the columns {list(table)} is the label? Name it by --label")
    return (named or few)[0]


def _text(table: pd.DataFrame, label: str, where: Path) -> list[str]:
    whole = table.map(lambda cell: isinstance(cell, str)).all()
    of_text = [name for name in table if isinstance(name, str) and name != label and whole[name]]
    found = [name for name in TEXTS if name in of_text][:1] or of_text
    if not found:
        raise ValueError(f"{where}: no column of text is left: it has {list(table)}, of which {label!r} is the label")
    if len(found) != 1:
        raise ValueError(f"{where}: which of the columns {of_text} is the text? Name it by --text, or a pair by two")
    return found


def _written(labels: pd.Series, where: Path, label: str) -> list[Any]:
    """Return how a column writes the classes, sorted; ValueError where they are no classes."""
    import pandas as pd

    filled = labels[labels.notna() & (labels != "")]  # what is empty is an error of its own, with its rows
    written = sorted(filled.unique())
    numbers = pd.to_numeric(filled, errors="coerce")
    fractions = numbers[numbers % 1 > 0]
    if numbers.notna().all() and len(fractions):
        raise ValueError(
            f"{where}: column {label!r} has fractions, such as {fractions.iloc[0]}: of a regression, whose task is "
            "written by hand (`problem` in docs/your-data.md); name another column by --label"
        )
    if len(written) > max(2, len(labels) // 2):
        raise ValueError(
            f"{where}: column {label!r} has {len(written)} values in {len(labels)} rows, too many for classes; name "
            "another by --label"
        )
    return written
