"""Hash of the code that a stage runs, so that a changed algorithm reruns what it made, and nothing else does.

Snakemake sees the text of a rule, not the modules its command imports. `code_hash` follows the imports from a command's
module, without importing anything, and goes into the rule's ``params``.

What counts is the syntax tree: comments, docstrings, blank lines and layout do not change the hash, because retraining
a cluster's worth of runs over a comment would teach people not to write any. Every literal, name and operator does
count. The tree is written down by `frod.provenance.sources` rather than ``ast.dump``, whose text differs between
Python versions.

Imports are over-counted on purpose, never under-counted: those inside functions and under ``if TYPE_CHECKING`` count,
and so does every string that names one of our modules (tables for late imports). An import computed from anything but
such a table takes in everything beneath its package.
"""

import functools
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from frod.provenance.git import git_text
from frod.provenance.sources import Source, parsed

PACKAGE_DIRECTORY = Path(__file__).resolve().parents[1]

# What `frod.config` resolves to, and a registry's entry, are in a job's own params: a new entry must not make other
# tasks' runs stale. Tracking mirrors results and alters none; bounds of options refuse values and alter none; a README
# is for people.
EXCLUDED = (
    "frod.config",
    "frod.cli.options",
    "frod.provenance.tracking",
    "tasks/registry.yaml",
    "backbones/registry.yaml",
    "backbones/shipped/README.md",
)

NAMED = 5  # edited files in a warning
# Made by the workflow, or by the DVC stage that is running: no sign of edited sources.
GENERATED = ("reports", "results", "data", "logs", "benchmarks", "dvc.lock")
SETTINGS = "FROD_SETTINGS"
"""Variable by which the workflow tells its jobs which files say what they do, as PATH has folders."""


def code_hash(entry: str, *, exclude: Iterable[str] = EXCLUDED, package: str | os.PathLike[str] | None = None) -> str:
    """SHA-256 over every source and data file of the package that module `entry` reaches.

    Parameters
    ----------
    entry
        Dotted name, such as ``"frod.cli.train"``.
    exclude
        Modules neither hashed nor followed (with what lies beneath them), and data files, as paths relative to the
        package such as ``"tasks/registry.yaml"``: for what already stands in the job's params in another form.
    package
        The package's directory; its name is the first part of `entry`. Default: this installation's.

    Raises
    ------
    ValueError
        If `entry` or something in `exclude` does not exist: a misspelt one would silently change what is watched.
    """
    return code_hashes({entry: entry}, exclude=exclude, package=package)[entry]


def code_hashes(
    entries: Mapping[str, str], *, exclude: Iterable[str] = EXCLUDED, package: str | os.PathLike[str] | None = None
) -> dict[str, str]:
    """`code_hash` of several modules, by the names that `entries` gives them; the package is looked at once."""
    here, banned = _Package(package), tuple(exclude)
    found = {}
    for name, entry in entries.items():
        lines = [f"{part} {digest}" for part, digest in sorted(_reached(entry, banned, here).items())]
        found[name] = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return found


def reached(
    entry: str, *, exclude: Iterable[str] = EXCLUDED, package: str | os.PathLike[str] | None = None
) -> dict[str, str]:
    """Digests by name (dotted for modules, relative paths for data files) of what `code_hash` covers."""
    return _reached(entry, tuple(exclude), _Package(package))


class _Package:
    """The files of a package, each looked at once."""

    def __init__(self, package: str | os.PathLike[str] | None) -> None:
        self.directory = Path(package).resolve() if package is not None else PACKAGE_DIRECTORY
        self.modules = _modules(self.directory)
        self.source = functools.cache(lambda name: parsed(self.modules[name]))
        self.targets = functools.cache(lambda name, used: _targets(name, used, self))
        self.sha256 = functools.cache(lambda path: hashlib.sha256(path.read_bytes()).hexdigest())
        self.data_files = functools.cache(lambda folder: list(_data_files(folder, self)))


def _reached(entry: str, exclude: tuple[str, ...], package: _Package) -> dict[str, str]:
    modules, directory = package.modules, package.directory
    for name in (entry, *exclude):
        known = name in modules or (name != entry and (directory / name).is_file())
        # What is excluded by default may be left out of an installation.
        if not known and name not in EXCLUDED:
            raise ValueError(f"{name!r} is neither a module of {directory} nor a file in it: correct the name")
    banned = {name for name in modules if any(name == bad or name.startswith(bad + ".") for bad in exclude)}
    names = _walk(entry, package, banned)
    found = {name: package.source(name).digest for name in names}
    for folder in {os.path.dirname(modules[name]) for name in names}:
        for name, path, owners in package.data_files(folder):
            if name not in exclude and (not owners or owners & names):
                found[name] = package.sha256(path)
    return found


def _walk(entry: str, package: _Package, banned: set[str]) -> set[str]:
    """Modules used (all their imports count) and modules only loaded because a package's ``__init__`` always is."""
    whole: set[str] = set()
    loaded: set[str] = set()
    queue = [(entry, True)]
    while queue:
        name, used = queue.pop()
        if name in banned or name in whole or (name in loaded and not used):
            continue
        (whole if used else loaded).add(name)
        queue += [(target, True) for target in package.targets(name, used)]
        queue += [(parent, False) for parent in _parents(name) if parent in package.modules]
    return whole | loaded


def _targets(name: str, used: bool, package: _Package) -> set[str]:
    """Modules that a module imports or names: all of them, or those of its loading alone."""
    source = package.source(name)
    names = set(source.imports if used else source.imports_on_load)
    if used:
        names |= _named_by_strings(name, source, package.modules)
    found = set()
    for imported in names:
        module = imported
        while module and module not in package.modules:  # a.b.c with c a function: module a.b
            module = module.rpartition(".")[0]
        found.add(module)
    return found - {""}


def _named_by_strings(name: str, source: Source, modules: dict[str, Path]) -> set[str]:
    home = name if modules[name].name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for text in source.strings:
        candidate = f"{home}{text}" if text.startswith(".") else text.split(":")[0]
        if candidate in modules:
            found.add(candidate)
    if source.computed:
        found |= {other for other in modules if other.startswith(home + ".")}
    return found


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _modules(directory: Path) -> dict[str, Path]:
    """Files of a package by dotted module name."""
    found = {}
    for path in directory.rglob("*.py"):
        parts = (directory.name, *path.relative_to(directory).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _data_files(folder: str, package: _Package) -> Iterator[tuple[str, Path, set[str]]]:
    """Files in a folder (and in folders there that are no packages) that are not Python: name, path and owners.

    A file that some module of its folder names in a string belongs to that module; a file that none names may be read
    by any of them. Otherwise a new entry in a registry would retrain what merely lives next to it.
    """
    near = {name: package.source(name) for name, path in package.modules.items() if os.path.dirname(path) == folder}
    for path in _not_python(Path(folder)):
        parts = path.relative_to(folder).parts
        owners = {
            name for name, source in near.items() if any(part in text for text in source.strings for part in parts)
        }
        yield path.relative_to(package.directory).as_posix(), path, owners


def _not_python(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name != "__pycache__" and not path.name.startswith(".") and not (path / "__init__.py").exists():
                yield from _not_python(path)
        elif (
            path.suffix not in {".py", ".pyc", ".pyi"} and not path.name.startswith(".") and not path.name.endswith("~")
        ):
            yield path


def git_state() -> dict[str, str | bool | None]:
    """Commit and whether sources differ from it: ``{"git_commit": str | None, "git_dirty": bool | None}``.

    Sources are the code and what the workflow names in `SETTINGS`; of a job by hand, all that is not generated
    (`GENERATED`). Both are None outside a git checkout or without git: results from an unpacked archive are results
    too.
    """
    commit, top = (git_text("rev-parse", what, cwd=PACKAGE_DIRECTORY.parent) for what in ("HEAD", "--show-toplevel"))
    if not commit or not top:
        return {"git_commit": None, "git_dirty": None}
    named = os.environ.get(SETTINGS)
    held = _held(top, named.split(os.pathsep)) if named else [f":(top,exclude){name}" for name in GENERATED]
    status = _status(top, held)
    return {"git_commit": commit, "git_dirty": None if status is None else bool(status)}


def _held(top: str, settings: Iterable[str | os.PathLike[str]]) -> list[str]:
    """The code, and those of some files that the checkout has or could have."""
    paths = [PACKAGE_DIRECTORY, *(Path(one).resolve() for one in settings)]
    return [str(path) for path in paths if path.is_relative_to(top)]


def _status(top: str, held: Iterable[str]) -> str | None:
    return git_text("status", "--porcelain", "--untracked-files=all", "--", *held, cwd=Path(top))


def warn_of_edits(settings: Iterable[str | os.PathLike[str]]) -> None:
    """Before trainings begin, name which of the code's files and of the files of `settings` are not committed.

    An audit holds runs against a commit.
    """
    top = git_text("rev-parse", "--show-toplevel", cwd=PACKAGE_DIRECTORY.parent)
    status = _status(top, _held(top, settings)) if top else None
    names = [line.split(maxsplit=1)[1] for line in (status or "").splitlines()]
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        print(
            f"frod: not committed: {', '.join(names[:NAMED])}{more}. An audit holds runs against a commit that has "
            "their code and suite: commit before, or these very files later",
            file=sys.stderr,
        )
