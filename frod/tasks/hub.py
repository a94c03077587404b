"""Data sets of the Hub in parquet: from a mirror folder laid out like the Hub, else from the Hub at a pinned commit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from frod.files import sha256
from frod.tasks.examples import SHOWN, Examples, Source
from frod.tasks.registry import Columns, Hub, Local, TaskSpec

SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.parquet$")


def read(task: TaskSpec, wanted: list[str], mirror: Path | None) -> Source:
    """Read the splits of a data set.

    Parameters
    ----------
    task : TaskSpec
        Its source is a Hub or a Local.
    wanted : list of str
        Splits of the source; no file of another split is fetched.
    mirror : Path or None
        Folder with datasets/ID/CONFIG/SPLIT-*.parquet, looked up before the Hub.

    Raises
    ------
    ValueError
        The data cannot be reached, a file is missing or broken, or a column is not of its type.
    """
    source = task.source
    if isinstance(source, Local):
        found = {split: _local_files(source.path, split) for split in wanted}
        facts: dict[str, Any] = {"what": f"path {source.path.name}", "revision": None}
        root = source.path
    else:
        assert isinstance(source, Hub)
        root = _folder(source, wanted, mirror)
        found = {split: _shards(root, source.pattern(split)) for split in wanted}
        facts = {"what": f"hub {source.id}, {source.config}", "revision": source.revision}
    tables = {split: _table(files, task) for split, files in found.items()}
    files = sorted({file for files in found.values() for file in files})
    facts["files"] = {file.relative_to(root).as_posix(): sha256(file) for file in files}
    return Source(splits={split: _examples(table, task, split) for split, table in tables.items()}, facts=facts)


def _folder(source: Hub, wanted: list[str], mirror: Path | None) -> Path:
    """Return the folder that the data set lies in: the mirror's, or the Hub's local copy."""
    if mirror is not None:
        if not mirror.is_dir():
            raise ValueError(f"paths.mirror (FROD_MIRROR): {mirror} is not a folder")
        if (mirror / "datasets" / source.id).is_dir():
            return mirror / "datasets" / source.id
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        patterns = [source.pattern(split) for split in wanted]
        found = snapshot_download(source.id, repo_type="dataset", revision=source.revision, allow_patterns=patterns)
    # OSError: no connection (of whatever HTTP library), no local copy while offline.
    except (HfHubHTTPError, OSError) as error:
        looked = f"not in the mirror {mirror}" if mirror else "no mirror is set"
        raise ValueError(
            f"data set {source.id} at {source.revision[:12]}: {looked}, and the Hub does not give it "
            f"({type(error).__name__}: {_first_line(error)}). Go online, or set paths.mirror (or FROD_MIRROR) to a "
            f"folder that has datasets/{source.id}/{source.pattern(wanted[0])}"
        ) from error
    return Path(found)


def _shards(root: Path, pattern: str) -> list[Path]:
    files = sorted(root.glob(pattern))
    if not files:
        raise ValueError(f"{root}: no file {pattern}; the mirror or download is not whole")
    numbers = [SHARD.search(file.name) for file in files]
    promised = {int(m[2]) for m in numbers if m}
    if promised and promised != {len(files)}:
        raise ValueError(f"{root}: {pattern} has {len(files)} files, their names promise {max(promised)}")
    return files


def _local_files(folder: Path, split: str) -> list[Path]:
    whole = folder / f"{split}.parquet"
    return [whole] if whole.is_file() else _shards(folder, f"{split}-*.parquet")


def _table(files: list[Path], task: TaskSpec) -> Any:
    """Read the needed columns of a split's files into one pyarrow table, their types checked."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = task.columns
    needed = [*columns.text, columns.image, columns.label, columns.id]
    tables = []
    for file in files:
        try:
            schema = pq.read_schema(file)
            missing = [name for name in needed if name and name not in schema.names]
            if missing:
                raise ValueError(f"{file}: no column {missing[0]!r}; it has {', '.join(schema.names)}")
            tables.append(pq.read_table(file, columns=[name for name in needed if name]))
        except (pa.ArrowInvalid, pa.ArrowIOError) as error:
            raise ValueError(f"{file}: is not a whole parquet file ({_first_line(error)}); fetch it anew") from None
    table = pa.concat_tables(tables, promote_options="permissive")
    _check_types(table, columns, files[0])
    return table


def _check_types(table: Any, columns: Columns, file: Path) -> None:
    from pyarrow import types

    def check(name: str, good: bool, wanted: str) -> None:
        if not good:
            raise ValueError(f"{file}: column {name!r} should be {wanted}, is {table.schema.field(name).type}")

    for name in columns.text:
        kind = table.schema.field(name).type
        check(name, types.is_string(kind) or types.is_large_string(kind), "text")
    for name in filter(None, (columns.label, columns.id)):
        kind = table.schema.field(name).type
        # A column of integers with gaps is read as floats by some writers; gaps are reported as such further down.
        check(name, types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind), "integer")
    if columns.image:
        kind = table.schema.field(columns.image).type
        nested = types.is_struct(kind) and kind.get_field_index("bytes") >= 0
        check(columns.image, nested or types.is_binary(kind), "encoded images (bytes)")


def _examples(table: Any, task: TaskSpec, split: str) -> Examples:
    columns = task.columns
    labels = _integers(table[columns.label], split, columns.label)
    ids = _integers(table[columns.id], split, columns.id) if columns.id else np.arange(len(labels), dtype=np.int64)
    names = [columns.image] if columns.image else columns.text
    read = []
    for name in names:
        values = table[name]
        if values.null_count:
            rows = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[:SHOWN].tolist()
            raise ValueError(f"split {split}: column {name!r} is empty in {values.null_count} rows, such as {rows}")
        read.append(values.to_pylist())
    if columns.image:
        inputs = [value["bytes"] if isinstance(value, dict) else value for value in read[0]]
    else:
        inputs = read[0] if len(read) == 1 else list(zip(*read))
    return Examples(inputs=inputs, labels=labels, ids=ids)


def _integers(values: Any, split: str, name: str) -> np.ndarray:
    """Return a column as int64; ValueError where it has gaps (null or nan) or fractions."""
    if len(values) == 0:
        return np.zeros(0, dtype=np.int64)  # an empty split is refused where labels are checked
    if values.null_count == len(values):
        raise ValueError(f"split {split}: column {name!r} is empty in all {len(values)} rows")
    numbers = values.to_numpy().astype(np.float64, copy=False)
    wrong = np.flatnonzero(~np.isfinite(numbers) | (numbers != np.rint(numbers)))
    if len(wrong):
        raise ValueError(
            f"split {split}: column {name!r} is no integer in {len(wrong)} of {len(numbers)} rows, such as "
            f"{[float(v) for v in numbers[wrong[:SHOWN]]]} at rows {wrong[:SHOWN].tolist()}"
        )
    return numbers.astype(np.int64)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]
