"""Which files a crate holds or names, each with its hash; what is missing, altered or secret is an error, by name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from frod import files
from frod.config import Workflow
from frod.config.command_line import snakemake
from frod.config.suite_files import written_in
from frod.provenance import secrets
from frod.provenance.hashes import bytes_sha256

TYPES = {
    ".css": "text/css", ".csv": "text/csv", ".html": "text/html", ".js": "text/javascript", ".json": "application/json",
    ".md": "text/markdown", ".py": "text/x-python", ".svg": "image/svg+xml", ".tex": "application/x-tex",
    ".toml": "application/toml", ".yaml": "application/yaml",
}  # fmt: skip
"""Media types of text by suffix; what is not known is plain text."""
BINARY = {".parquet": "application/vnd.apache.parquet", ".png": "image/png"}
BINARY |= dict.fromkeys((".bin", ".model", ".npy", ".safetensors"), "application/octet-stream")
SOURCES = ("Snakefile", "dvc.yaml", "dvc.lock", "requirements.lock", "pyproject.toml", "README.md", "LICENSE")
SOURCE_FOLDERS = ("workflow", "profiles", "frod")


@dataclass(frozen=True, kw_only=True)
class Known:
    """One file."""

    path: Path
    """As it lies here."""
    name: str
    """In the crate: relative, with ``/`` between parts."""
    sha256: str
    size: int
    held: bool
    """Whether the crate holds it; else it is named by its hash and size."""
    text: str | None = None
    """What the crate holds instead of the file at `path`."""


class Payload:
    """The files of a crate, collected first and then looked at together, so that one error names all that is wrong.

    Parameters
    ----------
    workflow : Workflow
        Its folders of data, results and reports are called so in the crate, wherever they lie.
    with_data : bool
        Hold also weights, arrays, bases and adapters.
    """

    def __init__(self, workflow: Workflow, *, with_data: bool = False) -> None:
        paths = workflow.params.paths
        self._folders = {"data": paths.data, "results": paths.results, "reports": paths.reports}
        self._with_data, self._again = with_data, f"run `{snakemake(workflow.params)}`"
        self._held: dict[str, bool] = {}
        self._paths: dict[str, Path] = {}
        self._said: dict[str, dict[str, str]] = {}
        self._known: dict[str, Known] = {}

    def add(self, path: str | Path, sha256: str | None = None, *, by: str = "", data: bool = False) -> str:
        """Add a file, with the hash that another one says it has.

        Parameters
        ----------
        path : str or Path
        sha256, by : str
            What hash it should have, and what says so. A large file needs one: it is not read.
        data : bool
            One of the large files, which are held only where that was asked for.

        Returns
        -------
        str
            Its name in the crate.
        """
        name = self.name(path)
        self._paths[name] = Path(path)
        self._held[name] = self._held.get(name, False) or not data or self._with_data
        if sha256 is not None:
            self._said.setdefault(name, {})[by] = sha256
        return name

    def add_text(self, name: str, text: str) -> None:
        """Add a file that lies nowhere else."""
        content = text.encode("utf-8")
        self._known[name] = Known(
            path=Path(name), name=name, sha256=bytes_sha256(content), size=len(content), held=True, text=text
        )

    def name(self, path: str | Path) -> str:
        """What a file is called in the crate; ValueError for one outside the project and its folders."""
        pure = PurePosixPath(Path(path).as_posix())
        for name, folder in self._folders.items():
            if pure.is_relative_to(PurePosixPath(folder)):
                return (PurePosixPath(name) / pure.relative_to(PurePosixPath(folder))).as_posix()
        if not pure.is_absolute() and ".." not in pure.parts:
            return pure.as_posix()
        raise ValueError(f"{path} lies neither in the project nor in one of its paths: a crate has no name for it")

    def known(self) -> dict[str, Known]:
        """Look at all files added since the last time; return all, by name.

        Raises
        ------
        ValueError
            One line for each file that is missing, that has another hash than is said, or that holds a secret.
        """
        faults = []
        for name in sorted(set(self._paths) - set(self._known)):
            path, said = self._paths[name], self._said.get(name, {})
            if not path.is_file():
                faults.append(f"{path}: is not there; {self._again}, or bring it with `dvc pull`")
                continue
            digest = files.sha256(path) if self._held[name] or not said else next(iter(said.values()))
            told = (files.mismatch(path, digest, other, by=by) for by, other in said.items())
            faults += [f"{text}; {self._again}, or `frod audit`" for text in told if text]
            if self._held[name]:
                faults += secrets_in(path)
            self._known[name] = Known(
                path=path, name=name, sha256=digest, size=path.stat().st_size, held=self._held[name]
            )
        if faults:
            raise ValueError("\n".join(faults))
        return self._known


def secrets_in(path: Path) -> list[str]:
    """Return a fault where a text file holds a password, a token or an address with credentials; it is not repeated."""
    if path.suffix in BINARY:
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    content = json.loads(text) if path.suffix == ".json" else text
    if secrets.removed_from(content) == content:
        return []
    lines = [number for number, line in enumerate(text.splitlines(), 1) if secrets.removed_from(line) != line]
    where = f"line {', '.join(map(str, lines))} " if lines else ""
    return [f"{path}: {where}holds what looks like a secret, or the value of one in the environment; take it out"]


def source_files(root: Path = Path()) -> Iterable[Path]:
    """Everything that the workflow is run by, below the project's folder: rules, suites, settings, the package."""
    yield from (root / name for name in SOURCES if (root / name).is_file())
    for folder in SOURCE_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(root).parts)
            if path.is_file() and not hidden and path.suffix != ".pyc":
                yield path


def suite_files(workflow: Workflow) -> list[Path]:
    """The file of the suite, and those of the suites that it includes."""
    return [Path(written_in(name)) for name in (workflow.params.suite, *workflow.suite.include)]
