"""What the Snakefile asks for at its start: that files which DVC has brought are judged by content, and at its end that
what was made is recorded for DVC.

See Also
--------
frod.pipeline.outputs : how they are judged.
frod.pipeline.commit : the guard in front of ``dvc commit``.
"""

import atexit
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from frod.config.settings import PUBLISHED, Paths
from frod.pipeline import metadata, workflows
from frod.pipeline.outputs import Stage, restore, save, say

USUAL = Paths()


def stages(suites: Iterable[str], paths: Paths = USUAL) -> list[Stage]:
    """The stages of dvc.yaml for some suites: `data` and `bases` are shared, `runs` and `report` each suite's own."""
    data, state = paths.data, f"{paths.data}/state"
    found = [
        Stage("data", (f"{data}/models", f"{data}/tasks"), f"{state}/data.json"),
        Stage("bases", (f"{data}/bases",), f"{state}/bases.json"),
    ]
    for suite in suites:
        found.append(Stage("runs", (f"{paths.results}/{suite}",), f"{state}/runs-{suite}.json"))
        found.append(Stage("report", (f"{paths.reports}/{suite}",), f"{state}/report-{suite}.json"))
    return found


def keep(workflow: Any, *, suite: str, paths: Paths = USUAL) -> None:
    """For the Snakefile: restore now, save when the workflow ends. Does nothing in the processes of single jobs, and
    with a storage provider: DVC keeps files that lie here.

    Saving waits for the end of the process rather than for ``onsuccess`` and ``onerror``, because Snakemake calls
    neither when there is nothing to be done. ValueError with ``--touch``, which declares outputs made by parameters
    they were not made with, with a Snakemake whose records cannot be read, and where DVC is to see what a storage
    provider keeps.
    """
    if not metadata.is_main(workflow):
        return
    metadata.check_backend(workflow)
    if {"--touch", "-t"} & set(sys.argv[1:]):
        raise ValueError("--touch: would record old outputs under today's parameters; leave it out")
    root = Path.cwd()
    workflows.enter(root, local=metadata.is_local(workflow))
    if metadata.copies(workflow):
        if "DVC_STAGE" in os.environ:
            raise ValueError("--default-storage-provider: DVC keeps files that lie in the project; leave it out")
        return
    restore(stages(suites_here(root, suite, paths), paths), root=root)
    running = os.environ.get("DVC_STAGE", "").rpartition(":")[2]
    required = [stage for stage in stages([suite], paths) if stage.name == running]

    def at_end() -> None:
        if not metadata.has_run(workflow):
            return
        try:
            save(stages(suites_here(root, suite, paths), paths), root=root, required=required)
        except Exception as error:
            # Raised any further it would be printed and forgotten; DVC goes by the exit status.
            if not isinstance(error, OSError):
                traceback.print_exc()
            say(f"what was made could not be recorded ({error}); run the same command again")
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)
        _warn_of_overrides(metadata.overrides(workflow), root)

    atexit.register(at_end)


def suites_here(root: Path, suite: str, paths: Paths = USUAL) -> list[str]:
    """This suite and all others that have anything here: they share data, whose times must stay in step with theirs."""
    found = {suite}
    for folder in (root / paths.results, root / paths.reports):
        if folder.is_dir():
            found |= {path.name for path in folder.iterdir() if path.is_dir() and path.name != PUBLISHED}
    for path in (root / paths.data / "state").glob("r*-*.json"):
        found.add(path.stem.partition("-")[2])
    return sorted(found)


def _warn_of_overrides(given: list[str], root: Path) -> None:
    given = [text for text in given if not text.startswith("suite=") and Path(text).name != "params.yaml"]
    if given and (root / ".dvc").is_dir():
        say(f"made with settings that params.yaml does not have ({', '.join(given)}): `make dvc-commit` refuses these")
