"""Read what a stage of the workflow has written: whole, or one line that says which file it is and what to do.

Files are written whole or not at all (`frod.files`), but disks, copies and editors damage them later. Manifests, which
name the hashes of what lies next to them, hold a digest of themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

DIGEST = "digest"
REMEDY = "delete it and run again"


def with_digest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest with the digest of itself in it."""
    return {**manifest, DIGEST: digest(manifest)}


def digest(manifest: Mapping[str, Any]) -> str:
    """Hash of a manifest's content but for the digest in it."""
    content = {name: value for name, value in manifest.items() if name != DIGEST}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def first_line(error: BaseException) -> str:
    """What an error says first, on one line; its class where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def read_json(path: Path, *, keys: Iterable[str] = (), remedy: str = REMEDY) -> dict[str, Any]:
    """Read a JSON file of a table.

    ValueError, with the remedy, where it is not there, is not JSON, or lacks one of `keys`.
    """
    try:
        content = json.loads(Path(path).read_text("utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise ValueError(f"{path}: is not there; {remedy}") from None
    except (ValueError, RecursionError) as error:  # of UTF-8 or of JSON
        raise ValueError(f"{path}: cannot be read, it was changed or cut short ({error}); {remedy}") from None
    missing = [key for key in keys if key not in content] if isinstance(content, dict) else ["a table"]
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(missing)}, it was changed or cut short; {remedy}")
    return content


def _refuse(constant: str) -> None:
    """What Python's parser takes, and no other does."""
    raise ValueError(f"{constant} is no JSON")


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Write a manifest with the digest of itself in it, and return it so."""
    complete = with_digest(manifest)
    text = json.dumps(complete, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", "utf-8")
    return complete


def read_manifest(path: Path, *, remedy: str = REMEDY) -> dict[str, Any]:
    """Read a manifest and hold it against the digest in it; ValueError as in `read_json`."""
    content = read_json(path, keys=[DIGEST], remedy=remedy)
    if content[DIGEST] != digest(content):
        raise ValueError(f"{path}: its content does not fit the {DIGEST} in it, it was changed; {remedy}")
    return content


def read_header(path: Path, *, remedy: str = REMEDY) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Shapes by name, and metadata, of a safetensors file that is as long as they say; ValueError as in `read_json`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            return shapes, file.metadata() or {}
    except FileNotFoundError:
        raise ValueError(f"{path}: is not there; {remedy}") from None
    except SafetensorError as error:
        raise ValueError(f"{path}: cannot be read, it was changed or cut short ({error}); {remedy}") from None


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as parquet with checksums of its pages, which `read_table` holds them against."""
    table.to_parquet(path, index=False, write_page_checksum=True)


def read_table(path: Path, *, columns: Iterable[str] = (), remedy: str = REMEDY) -> pd.DataFrame:
    """Read a parquet file whole.

    ValueError, with the remedy, where it is not there, is damaged, or lacks one of `columns`.
    """
    import pandas as pd

    if not path.is_file():
        raise ValueError(f"{path}: is {'no file' if path.exists() else 'not there'}; {remedy}")
    try:
        table = pd.read_parquet(path, page_checksum_verification=True)
    except Exception as error:  # the libraries raise whatever damaged metadata leads them to
        if isinstance(error, OSError) and error.errno:  # no fault of the file: a missing permission, say
            raise
        raise ValueError(
            f"{path}: cannot be read, it was changed or cut short ({first_line(error)}); {remedy}"
        ) from None
    missing = [column for column in columns if column not in table]
    if missing:
        raise ValueError(f"{path}: lacks the columns {', '.join(missing)}; {remedy}")
    return table
