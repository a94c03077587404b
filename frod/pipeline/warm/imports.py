"""What the warm process imports, and whether a file of it has changed since: a job must never run old code."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from frod.provenance import code

STAGES = (
    "backbone", "task", "basis_part", "basis", "trial", "tune", "train", "evaluate", "spectrum", "summarise", "report",
)  # fmt: skip
LIBRARIES = (
    "torch", "transformers", "timm", "pandas", "pyarrow.parquet", "sklearn.metrics", "scipy.stats",
    "safetensors.torch", "typer.main", "psutil", "yaml", "jinja2", "filelock", "transformers.models.auto.modeling_auto",
)  # fmt: skip
State = tuple[int, ...]
# pyarrow's allocator would start a thread when it is loaded.
NO_THREAD = ("JE_ARROW_MALLOC_CONF", "background_thread:false")


class Imported:
    """All modules that stages use, imported; and the state of their files."""

    def __init__(self) -> None:
        self._package = _states_of_package()
        self.said = _said_by(_import_all)
        files = {file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
        self._modules = _states_of_modules(files)

    def fault(self) -> str:
        """Why no job may be forked from this process; empty if one may."""
        threads = [Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in os.listdir("/proc/self/task")]
        if len(threads) > 1:
            return f"an import has started threads ({', '.join(threads)})"
        return f"an import has printed: {self.said}" if self.said else ""

    def changed(self) -> str:
        """A file that is not as it was when it was imported; empty where there is none."""
        now = _states_of_package() | _states_of_modules(self._modules)
        then = self._package | self._modules
        return next((file for file in now | then if now.get(file) != then.get(file)), "")


def _import_all() -> None:
    from frod.provenance import tracking

    os.environ.setdefault(*NO_THREAD)
    for name in LIBRARIES:
        importlib.import_module(name)
    if importlib.util.find_spec("bitsandbytes") is None:  # which peft imports, and which prints
        importlib.import_module("peft")
    if not tracking.off():
        tracking.set_defaults()
        importlib.import_module("mlflow.store.tracking.sqlalchemy_store")  # what it opens the usual store with
    reached = {name for stage in STAGES for name in code.reached(f"frod.cli.{stage}") if "/" not in name}
    for name in sorted(reached - {"frod.__main__"}):
        importlib.import_module(name)
    importlib.import_module("frod.cli.main")._app()


def _said_by(function) -> str:
    """Call a function; return what was printed meanwhile: a job that imports for itself would print it to its log."""
    sys.stdout.flush()
    with tempfile.TemporaryFile() as file:
        kept = [(number, os.dup(number)) for number in (1, 2)]
        for number, _ in kept:
            os.dup2(file.fileno(), number)
        try:
            function()
        finally:
            sys.stdout.flush()
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)
        file.seek(0)
        return file.read().decode(errors="replace").strip()


def _states_of_package() -> dict[str, State]:
    found: dict[str, State] = {}
    for folder, folders, names in os.walk(code.PACKAGE_DIRECTORY):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found |= {file: _state(file) for file in (os.path.join(folder, name) for name in names)}
    return found


def _states_of_modules(files: Iterable[str]) -> dict[str, State]:
    """Without the last number: an installation next to this one may link a library's file, which changes that time."""
    return {file: _state(file)[:-1] for file in files if not file.startswith(f"{code.PACKAGE_DIRECTORY}/")}


def _state(file: str) -> State:
    try:
        found = os.stat(file)
    except OSError:  # it is gone
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns
