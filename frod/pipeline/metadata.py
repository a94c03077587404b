"""Snakemake's own record of each output, as files under ``.snakemake``: the only place that knows its inner layout.

Snakemake decides by these records whether an output is still what its rule, parameters and inputs would give. They are
no public interface; `tests/unit/pipeline/test_metadata.py` runs the installed Snakemake and fails when they change.
Written for snakemake 9.27 (record format 6, file persistence), imported late and only to ask for its version. Its own
class for them is made when jobs are planned; by then outputs have to be judged, and many have no job.
"""

import base64
import contextlib
import functools
import json
import os
import stat
from pathlib import Path
from typing import Any

from frod.config import safe_yaml
from frod.pipeline.load import check_file
from frod.provenance.hashes import TIMESTAMP, files_in

RECORD_FORMAT = 6

# What a record says of how an output was made. Times belong to one machine and are left out.
FIELDS = (
    "rule", "input", "log", "shellcmd", "params", "code", "record_format_version", "conda_env", "container_img_url",
    "software_stack_hash", "input_checksums",
)  # fmt: skip

# Stands as the only parameter of an output whose making is unknown: Snakemake then finds the parameters changed, makes
# the output again, and shows this text as the reason.
UNKNOWN = "not made here: "


class Metadata:
    """Records and marks in the ``.snakemake`` folder of a working directory, `root`; outputs are relative to it."""

    def __init__(self, root: Path) -> None:
        self.folder = Path(root) / ".snakemake"

    @functools.cached_property
    def _longest_name(self) -> int:
        try:
            return os.pathconf(self.folder.parent, "PC_NAME_MAX") or 255
        except (OSError, ValueError, AttributeError):
            return 255

    def _path(self, kind: str, output: str) -> str:
        name = base64.urlsafe_b64encode(output.encode()).decode()
        step = self._longest_name - 1
        parts = [name[start : start + step] for start in range(0, len(name), step)]
        return os.path.join(self.folder, kind, *(f"@{part}" for part in parts[:-1]), parts[-1])

    def has(self, output: str) -> bool:
        """Whether Snakemake has a record of `output`."""
        return os.path.exists(self._path("metadata", output))

    def read(self, output: str) -> dict[str, Any] | None:
        """The record of `output`; None where there is none, or none that can be read."""
        try:
            with open(self._path("metadata", output), encoding="utf-8") as file:
                record = json.load(file)
        except (FileNotFoundError, json.JSONDecodeError):
            return None  # Snakemake too takes a half-written record for none
        return record if isinstance(record, dict) and record else None

    def write(self, output: str, record: dict[str, Any], time: float) -> None:
        """Write the record of `output`, made at `time`; an incomplete mark of it is removed."""
        path = Path(self._path("metadata", output))
        filled = {**dict.fromkeys(FIELDS), **record, "incomplete": False, "starttime": time, "endtime": time}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(filled), encoding="utf-8")
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._path("incomplete", output))
        # Snakemake takes a folder of records without one of marks for an old layout, and migrates it.
        os.makedirs(self.folder / "incomplete", exist_ok=True)

    def mark_unknown(self, output: str, reason: str, time: float) -> None:
        """Make Snakemake take `output` for out of date, whatever its times, and say why."""
        record = {"params": [repr(UNKNOWN + reason)], "record_format_version": RECORD_FORMAT, "input_checksums": {}}
        self.write(output, record, time)

    def is_incomplete(self, output: str) -> bool:
        """Whether a job that makes `output` was started and has not ended."""
        return os.path.exists(self._path("incomplete", output))

    def locked(self) -> bool:
        """Whether a Snakemake is at work here, or was killed and its lock left."""
        with contextlib.suppress(FileNotFoundError):
            return any(name.endswith(".lock") for name in os.listdir(self.folder / "locks"))
        return False

    def unlock(self) -> None:
        """Remove Snakemake's lock."""
        for path in (self.folder / "locks").glob("*.lock"):
            path.unlink(missing_ok=True)


def is_unknown(record: dict[str, Any]) -> bool:
    """Whether a record comes from `Metadata.mark_unknown`."""
    params = record.get("params")
    return isinstance(params, list) and len(params) == 1 and str(params[0])[1:].startswith(UNKNOWN)


def modification_time(path: str) -> float:
    """Time by which Snakemake judges `path`: of a stamp within, for a directory that has one."""
    found = os.lstat(path)
    if stat.S_ISDIR(found.st_mode):
        with contextlib.suppress(FileNotFoundError):
            return os.stat(os.path.join(path, TIMESTAMP)).st_mtime
    return found.st_mtime


def set_modification_time(path: str, time: float) -> float:
    """Set the time by which Snakemake judges `path` and return it as the file system keeps it.

    Only the owner may; others' files keep their times, which may make more again than is needed, but never less.
    """
    with contextlib.suppress(PermissionError):
        if os.path.isdir(path) and not os.path.islink(path):
            stamp = os.path.join(path, TIMESTAMP)
            with open(stamp, "a", encoding="utf-8"):
                pass
            os.utime(stamp, (time, time))
        else:
            os.utime(path, (time, time), follow_symlinks=False)
    return modification_time(path)


def newest_time(path: str) -> float:
    """Time of the last change to a file's content, or to that of any file in a directory."""
    if not os.path.isdir(path):
        return os.stat(path).st_mtime
    return max((os.stat(os.path.join(path, name)).st_mtime for name in files_in(path)), default=0.0)


# --- what a running workflow says of itself: attributes without an underscore, which Snakemake does not document ------


def is_main(workflow: Any) -> bool:
    """Whether this process is the one the user started, not one that Snakemake started for a job."""
    # Both read the Snakefile, and nothing public tells them apart.
    return bool(workflow.is_main_process)


def is_local(workflow: Any) -> bool:
    """Whether the jobs run on this machine: a cluster's executor is given a number of jobs, the local one of cores."""
    # `onstart` is not told the executor, and a profile or the command line may name it.
    return workflow.resource_settings.nodes is None


def copies(workflow: Any) -> str:
    """The folder of the copies of what a storage provider keeps, with a slash at its end; empty where there is none."""
    provider = workflow.storage_registry.default_storage_provider
    if provider is None:
        return ""
    prefix = (workflow.storage_settings.default_storage_prefix or "").rstrip("/")
    one = provider.object(f"{prefix}/x")
    if hasattr(one, "_is_dir"):
        # snakemake-storage-plugin-s3 0.3.6 keeps for ever that a folder was not there before its job in a pod.
        type(one).is_dir = lambda self: any(self.get_subkeys())
    return str(one.local_path()).removesuffix("x")


def jobs_due(workflow: Any) -> int:
    """How many jobs this run is going to start."""
    # `onstart` is not told.
    return sum(1 for _ in workflow.dag.needrun_jobs())


def targets(workflow: Any) -> set[str]:
    """Rules and files that the command names; none: the default target."""
    return set(workflow.dag_settings.targets or ())


def is_done(workflow: Any) -> bool:
    """Whether the workflow was executed or tried, and no job is left to be run."""
    return workflow.executor_plugin is not None and workflow.dag is not None and not jobs_due(workflow)


def is_dry(workflow: Any) -> bool:
    """Whether the jobs are only listed, as with ``-n``."""
    return workflow.executor_plugin is not None and workflow.dryrun


def has_run(workflow: Any) -> bool:
    """Whether the workflow was executed: not only listed, linted, drawn, or tried with ``-n`` or ``--touch``."""
    # Snakemake calls neither `onsuccess` nor `onerror` where there was nothing to be done.
    return workflow.executor_plugin is not None and not workflow.dryrun and not workflow.touch


def check_backend(workflow: Any) -> None:
    """Refuse, by ValueError, a Snakemake whose records lie elsewhere or look otherwise.

    Results would be taken for up to date without a look at how they were made.
    """
    from snakemake.persistence import RECORD_FORMAT_VERSION

    backend = str(getattr(workflow.workflow_settings, "persistence_backend", "file")).rpartition(".")[2].lower()
    if backend != "file":
        raise ValueError(
            f"--persistence-backend={backend}: what DVC brings can only be checked with `file`; leave it out"
        )
    if RECORD_FORMAT_VERSION != RECORD_FORMAT:
        raise ValueError(
            f"this Snakemake writes records of format {RECORD_FORMAT_VERSION}, expected {RECORD_FORMAT}: "
            "install the version of requirements.lock"
        )


def look_as_jobs_end(workflow: Any) -> None:
    """Have Snakemake look for jobs to start as others end, and not again and again in between; before the first job.

    With its default limit, 100 jobs a second, each look of version 9.27 calls for another one second later, and each
    job that ends adds one look that goes on so: after n jobs it looks n times a second, which from a hundred jobs on
    takes most of a processor. Any other limit stands.
    """
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


def check_executor(workflow: Any) -> None:
    """Refuse, by WorkflowError, SLURM's job arrays; before the first job, as Snakemake reads these settings late.

    In version 2.8.0 of the plugin a task of an array ends by a look for the files of the array's first: it fails where
    that one still runs.
    """
    from snakemake.exceptions import WorkflowError

    if getattr(workflow.executor_settings, "array_jobs", None):
        raise WorkflowError("--slurm-array-jobs: fails trainings that have ended well; take --groups (docs/cluster.md)")


def given(workflow: Any) -> dict[str, Any]:
    """What of the parameters is from elsewhere than params.yaml, by its option or file; what prevails comes first.

    ValueError where there is what params.yaml may not hold.
    """
    settings = workflow.config_settings
    asked = {
        name: _of_words(value) if isinstance(value, dict | list) else value for name, value in settings.config.items()
    }
    others = [path for path in reversed(settings.configfiles) if path != Path("params.yaml").absolute()]
    return {"--config": asked} | {os.path.relpath(path): check_file(path) for path in others}


def _of_words(value: Any) -> Any:
    """Of a value in --config that has others in it Snakemake takes all for text: each is what it is in a file."""
    if isinstance(value, dict):
        return {name: _of_words(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_of_words(inner) for inner in value]
    return safe_yaml.from_word(value, "--config") if isinstance(value, str) else value


def overrides(workflow: Any) -> list[str]:
    """Settings given on the command line, by which the outputs differ from what params.yaml says."""
    # The global `config` has them merged in.
    settings = workflow.config_settings
    return [str(path) for path in settings.configfiles] + [f"{key}={value}" for key, value in settings.config.items()]
