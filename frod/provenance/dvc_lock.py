"""What dvc.lock says that DVC keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LOCK = Path("dvc.lock")
CACHE = Path(".dvc/cache/files/md5")


def entries(text: str | None = None) -> dict[Path, str]:
    """md5 of what the stages depend on and make, by path; none where there is no lock. `text`: of an earlier lock.

    ValueError where the lock cannot be read.
    """
    import yaml

    try:
        text = text if text is not None else LOCK.read_text("utf-8") if LOCK.is_file() else ""
        lock: dict[str, Any] = yaml.safe_load(text) or {}
        stages = (lock.get("stages") or {}).values()
        listed = [entry for stage in stages for part in ("deps", "outs") for entry in stage.get(part) or []]
        return {Path(entry["path"]): entry["md5"] for entry in listed if "md5" in entry}
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, TypeError, KeyError):
        raise ValueError(f"{LOCK}: is not what DVC writes; `git checkout {LOCK}` brings it back") from None


def cached(md5: str) -> Path:
    """Where DVC's cache keeps a file, or the listing of a folder, of this md5."""
    return CACHE / md5[:2] / md5[2:]
