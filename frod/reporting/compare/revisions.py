"""Read a report's tables from its folder, or from a git revision without checking it out."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frod import files
from frod.config import safe_yaml
from frod.provenance.git import git, git_text

if TYPE_CHECKING:
    import pandas as pd

RESULTS = "results.csv"
NEEDED = ("suite", "task", "backbone", "method", "seed", "test")

Reader = Callable[[str], bytes | None]
"""Content of a file by its path; None where there is no such file."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two reports."""

    name: str
    """As it was given."""
    results: pd.DataFrame
    """Of results.csv, one row per run."""
    claims: list[dict[str, Any]] | None = None
    """None where the report is older than claims.json."""
    report: dict[str, Any] | None = None
    """Of report.json: settings, inputs, code; None where the report is older than that."""
    records: list[dict[str, Any]] = field(default_factory=list)
    """Those of the runs that still lie where the report read them, unchanged."""
    runs: dict[str, dict[str, Any]] | None = None
    """Of runs.json: by run the sha256 of its files and what made them; None where the report is older than that."""
    suite: dict[str, Any] | None = None
    """The suite's file: of the revision, or as it lies here now; None where it is not among the project's own."""


def read(given: str) -> Side:
    """Read one side.

    Parameters
    ----------
    given : str
        The folder of a report, or REVISION:FOLDER, the folder seen from the top of the repository, as `git show` takes
        it.

    Raises
    ------
    ValueError
        There is no such revision or folder, or it holds no report; names the file.
    """
    import pandas as pd

    reader, project = _readers(given)
    table = reader(RESULTS)
    if table is None:
        raise ValueError(f"{given}: has no {RESULTS}, so it is not the folder of a report, such as reports/smoke")
    try:
        results = pd.read_csv(io.BytesIO(table))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{given}/{RESULTS}: is no table ({error})") from error
    lacking = [name for name in NEEDED if name not in results]
    if lacking:
        raise ValueError(f"{given}/{RESULTS}: lacks {', '.join(lacking)}; it was not written by `frod report`")
    if results.empty:
        raise ValueError(f"{given}/{RESULTS}: has no run, so there is nothing to compare")
    claims = _json(reader, given, "claims.json", claims=list)
    report = _json(reader, given, "report.json", params=dict, inputs=dict, code=dict)
    runs = _json(reader, given, "runs.json", runs=dict)
    return Side(
        name=given,
        results=results,
        claims=None if claims is None else claims["claims"],
        report=report,
        records=_records(report) if report else [],
        runs=None if runs is None else runs["runs"],
        suite=_suite(project, report) if report else None,
    )


def _json(reader: Reader, given: str, name: str, **kinds: type) -> dict[str, Any] | None:
    """Read a table of JSON that has some keys, with values of these kinds."""
    content = reader(name)
    if content is None:
        return None
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{given}/{name}: is not JSON ({error})") from error
    wrong = [key for key, kind in kinds.items() if not (isinstance(found, dict) and isinstance(found.get(key), kind))]
    if wrong:
        raise ValueError(f"{given}/{name}: {', '.join(wrong)}: not as `frod report` writes it, which writes it again")
    return found


def _records(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Records of the runs, for the packages that they name; they are not in git, so they may be gone or newer."""
    paths = {Path(path): digest for path, digest in report["inputs"].items() if Path(path).name == "record.json"}
    same = [path for path, digest in paths.items() if path.is_file() and files.sha256(path) == digest]
    return [json.loads(path.read_text(encoding="utf-8")) for path in same]


def _suite(project: Reader, report: dict[str, Any]) -> dict[str, Any] | None:
    content = project(f"workflow/suites/{report['params'].get('suite', 'smoke')}.yaml")
    return None if content is None else safe_yaml.from_yaml(content.decode("utf-8", "replace"), "its suite")


def _readers(given: str) -> tuple[Reader, Reader]:
    """Readers of the report's folder and of the project's."""
    folder = Path(given)
    if folder.is_dir():
        return _folder_reader(folder), _folder_reader(Path())
    revision, colon, path = given.partition(":")
    if not colon:
        raise ValueError(
            f"{given}: there is no such folder; give that of a report, such as reports/smoke, or "
            "REVISION:reports/published/smoke"
        )
    if shutil.which("git") is None:
        raise ValueError(f"{given}: a revision is read by git, which is not installed")
    if git("rev-parse", "--is-inside-work-tree") is None:
        raise ValueError(f"{given}: a revision is read from a git repository, and {Path.cwd()} is in none")
    # --end-of-options: a revision that begins with a dash is a name, not an option.
    of = git_text("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if of is None:
        raise ValueError(f"{given}: there is no revision {revision!r}; `git log -- reports` lists those with reports")
    path = path.strip("/")
    if git_text("cat-file", "-t", f"{of}:{path}") != "tree":
        listed = (git_text("ls-tree", "-r", "--name-only", "--full-tree", of) or "").splitlines()
        reports = [name.removesuffix(f"/{RESULTS}") for name in listed if name.endswith(f"/{RESULTS}")]
        has = f"it has {', '.join(reports)}" if reports else "it has no report"
        raise ValueError(f"{given}: revision {revision} has no folder {path!r}; {has}")

    def project(name: str) -> bytes | None:
        return git("cat-file", "blob", f"{of}:{name}")

    return lambda name: project(f"{path}/{name}"), project


def _folder_reader(folder: Path) -> Reader:
    return lambda name: (folder / name).read_bytes() if (folder / name).is_file() else None
