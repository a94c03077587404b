"""Runs that were deleted next to the report made of them: no rule needs them, so that Snakemake misses nothing."""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frod.config.command_line import snakemake
from frod.config.settings import Params, Paths
from frod.files import sha256
from frod.pipeline import bookkeeping, metadata
from frod.pipeline.outputs import say
from frod.provenance import dvc_lock

NAMED = 4  # folders in a message
BY_DEFAULT = {"all", "report"}  # targets that are up to date without the runs


def watch(workflow: Any, files: Sequence[str], *, report: Path, results: Path, params: Params) -> None:
    """For the Snakefile: name the runs that are gone, and end in status 1 where they were asked for and none was made.

    Parameters
    ----------
    files : sequence of str
        All that the suite's runs leave, the target `runs`.
    report, results : Path
        The suite's folders.
    """
    lost = missing(files, report) if metadata.is_main(workflow) else []
    if not lost:
        return
    say(told(lost, report, results, params))

    def at_end() -> None:
        if not metadata.is_done(workflow):
            return
        asked = metadata.targets(workflow)
        if (not asked or asked & BY_DEFAULT) and missing(files, report):
            say("nothing was made: the report is up to date, the runs above are gone (exit status 1)")
            sys.stdout.flush()
            os._exit(1)  # what is raised here Snakemake's exit status does not show

    atexit.register(at_end)


def is_of_these_runs(report: Path) -> bool:
    """Whether there is a report, and it is of the runs that are there."""
    records = _records(report)
    return bool(records) and all(sha256(path) == digest for path, digest in records.items() if path.exists())


def missing(files: Sequence[str], report: Path) -> list[Path]:
    """Which of the files are not there, of the runs that a report was made of; new runs have yet to be made."""
    runs = [record.parent for record in _records(report)]
    made = {str(folder) for run in runs for folder in (run, run.parent, run.parent / "tune", *run.parents[3:4])}
    absent = [Path(file) for file in files if os.path.dirname(file) in made and not os.path.exists(file)]
    return [path for path in absent if not _is_new(path)]


def _records(report: Path) -> dict[Path, str]:
    """The records that a report was made of, with their sha256; none where there is no report that is whole."""
    try:
        inputs = json.loads((report / "report.json").read_text("utf-8"))["inputs"]
        return {Path(name): digest for name, digest in inputs.items() if name.endswith("/record.json")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _is_new(path: Path) -> bool:
    """Whether it is a trial of rates that the choice next to it was made without."""
    try:
        chosen = json.loads(path.with_name("rates.json").read_text("utf-8"))["inputs"]
        return path.name.startswith("trial-") and path not in map(Path, chosen)
    except (OSError, ValueError, KeyError, TypeError):  # no choice, or none that is whole
        return False


def told(lost: Sequence[Path], report: Path, results: Path, params: Params) -> str:
    """What is gone, whether DVC has it, and what makes it again."""
    folders = [results] if not results.exists() else list(dict.fromkeys(path.parent for path in lost))
    more = f" and {len(folders) - NAMED} more folders" if len(folders) > NAMED else ""
    where, bring = ", ".join(map(str, folders[:NAMED])), _kept(results, params.paths)
    again = snakemake(params, "runs").replace("snakemake", "snakemake --cores N", 1)
    return (
        f"{len(lost)} files of the runs that {report} was made of are gone, in {where}{more}. "
        f"{bring}`{again}` makes them again"
    )


def _kept(results: Path, paths: Paths) -> str:
    """What brings the runs, where DVC knows of them."""
    suite = results.relative_to(paths.results).parts[0]
    (stage,) = (stage for stage in bookkeeping.stages([suite], paths) if stage.name == "runs")
    bring = " ".join([*stage.folders, stage.backup])
    try:
        md5 = dvc_lock.entries().get(Path(stage.folders[0]))
    except ValueError as error:
        return f"{error}, and may name them; or "
    if md5 is None:
        return ""
    if dvc_lock.cached(md5).is_file():
        return f"DVC has them: `dvc checkout {bring}`; or "
    return f"DVC's cache has them not, a remote may: `dvc pull {bring}`; or "
