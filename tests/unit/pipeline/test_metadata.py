"""Snakemake's records lie where we read and write them: fails when another Snakemake lays them out otherwise.

Runs the installed Snakemake on two rules and compares with what `Metadata` reads and writes.
"""

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import forks
import pytest
from snakemake.exceptions import WorkflowError

from frod.pipeline import metadata
from frod.pipeline.metadata import Metadata

DEEP = "deep/" + "/".join(["a" * 90] * 3)  # so long a name that its record lies in folders

SNAKEFILE = f"""
rule all:
    default_target: True
    input: "two", "{DEEP}"

rule one:
    output: directory("one")
    params: lr=0.5, code="abc"
    shell: "mkdir -p {{output}}; touch {{output}}/file"

rule two:
    input: "one"
    output: "two"
    shell: "touch {{output}}"

rule deep:
    output: "{DEEP}"
    shell: "touch {{output}}"
"""


def _snakemake(root, *arguments):
    done = forks.run(["snakemake", "--cores", "1", *arguments], root, dict(os.environ))
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    (root / "Snakefile").write_text(SNAKEFILE)
    _snakemake(root)
    return root


def test_records_are_where_and_what_we_expect(made):
    records = Metadata(made)
    one, two = records.read("one"), records.read("two")
    assert set(metadata.FIELDS) | {"incomplete", "starttime", "endtime", "job_hash", "external_jobid"} == set(one)
    assert one["record_format_version"] == metadata.RECORD_FORMAT
    assert sorted(one["params"]) == ["'abc'", "0.5"] and one["rule"] == "one"
    assert two["input"] == ["one"]
    for name in ("one", "two", DEEP):
        record = records.read(name)
        assert record["endtime"] == metadata.modification_time(str(made / name))
        assert record["starttime"] <= record["endtime"]
        assert not records.is_incomplete(name) and not metadata.is_unknown(record)
    assert records.read("three") is None and not records.has("three")
    assert not records.locked()


def test_what_we_write_snakemake_reads(made):
    records = Metadata(made)
    assert "Nothing to be done" in _snakemake(made, "-n")
    old = {name: records.read(name) for name in ("one", "two", DEEP)}
    subprocess.run(["rm", "-r", made / ".snakemake"], check=True)
    for name, record in old.items():
        moment = metadata.set_modification_time(str(made / name), 1_000_000_000.0)
        assert moment == 1_000_000_000.0
        records.write(name, {field: record[field] for field in metadata.FIELDS}, moment)
    said = _snakemake(made, "-n")
    assert "Nothing to be done" in said and "Migrating" not in said and "missing" not in said
    records.mark_unknown(DEEP, "its origin is unknown", 1_000_000_000.0)
    assert metadata.is_unknown(records.read(DEEP))
    said = _snakemake(made, "-n")
    assert "its origin is unknown" in said and "rule deep" in said and "rule one" not in said
    records.write("one", {**old["one"], "params": ["0.7", "'abc'"]}, 1_000_000_000.0)
    assert "rule one" in _snakemake(made, "-n")


def test_marks_and_locks(tmp_path):
    records = Metadata(tmp_path)
    assert not records.locked() and not records.is_incomplete("out")
    records.write("out", {}, 1.0)
    mark = Path(records._path("incomplete", "out"))
    mark.touch()
    assert records.is_incomplete("out")
    records.write("out", {}, 1.0)
    assert not records.is_incomplete("out")
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir()
    (locks / "0.input.lock").touch()
    assert records.locked()
    Path(records._path("metadata", "out")).write_text('{"rule": ')
    assert records.read("out") is None


def test_newest_time_looks_into_directories(tmp_path):
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "file").touch()
    os.utime(tmp_path / "d" / "e" / "file", (5, 5))
    (tmp_path / "d" / metadata.TIMESTAMP).touch()
    assert metadata.newest_time(str(tmp_path / "d")) == 5


@pytest.mark.parametrize("settings", [None, SimpleNamespace(), SimpleNamespace(array_jobs=None)])
def test_an_executor_without_job_arrays_is_taken(settings):
    metadata.check_executor(SimpleNamespace(executor_settings=settings))


def test_job_arrays_are_refused():
    settings = SimpleNamespace(array_jobs="train")
    with pytest.raises(WorkflowError, match=r"--slurm-array-jobs: .* take --groups"):
        metadata.check_executor(SimpleNamespace(executor_settings=settings))


@pytest.mark.parametrize(("given", "stays"), [("100/1s", False), ("50/1m", True), (None, True)])
def test_snakemake_s_default_limit_of_jobs_goes_and_a_limit_that_is_given_stays(given, stays):
    from snakemake.settings.types import MaxJobsPerTimespan, SchedulingSettings

    settings = SchedulingSettings(max_jobs_per_timespan=given and MaxJobsPerTimespan.parse_choice(given))
    scheduler = SimpleNamespace(job_rate_limiter="a limiter")
    metadata.look_as_jobs_end(SimpleNamespace(scheduling_settings=settings, scheduler=scheduler))
    assert scheduler.job_rate_limiter == ("a limiter" if stays else None)


def test_snakemake_s_default_limit_is_the_one_that_goes():
    from snakemake.cli import get_argument_parser

    limit = get_argument_parser().parse_args([]).max_jobs_per_timespan
    assert (limit.max_jobs, limit.timespan) == (100, 1)
