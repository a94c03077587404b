"""The log of a run, in the words of the installed Snakemake, is read as what ran in it."""

import os
import subprocess
import sys
from pathlib import Path

from bench import workflow

SNAKEFILE = """
rule all:
    input: expand("{i}.txt", i=range(3))

rule touched:
    output: "{i}.txt"
    message: "making {wildcards.i}"
    shell: "touch {output}"
"""
LOG = """\
Provided cores: 2
[Sun Nov 29 02:50:00 2026]
Job 1: weights of a
Reason: Missing output files: a
[Sun Nov 29 02:50:01 2026]
Job 2: weights of b
[Sun Nov 29 02:50:11 2026]
Finished jobid: 1 (Rule: backbone)
1 of 3 steps (33%) done
[Sun Nov 29 02:50:21 2026]
Finished jobid: 2 (Rule: backbone)
[Sun Nov 29 02:50:21 2026]
Job 3: report
[Sun Nov 29 02:50:30 2026]
Finished jobid: 3 (Rule: report)
"""


def test_seconds_by_rule_and_idle_processors():
    found = workflow.of_log(LOG)
    assert (found["cores"], found["seconds"]) == (2, 30)
    assert found["rules"] == {"backbone": {"jobs": 2, "seconds": 31}, "report": {"jobs": 1, "seconds": 9}}
    assert found["idle_seconds"] == 2 * 30 - 31 - 9
    assert workflow.of_log("Provided cores: 2\nNothing to be done (all requested files are present).\n") == {}


def test_a_real_log_is_read_and_one_without_jobs_passed_over(tmp_path: Path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for _ in range(2):
        subprocess.run(
            ["snakemake", "--cores", "2"],
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            check=True,
            capture_output=True,
        )
    assert len(list((tmp_path / ".snakemake/log").glob("*.log"))) == 2
    found = workflow.last_run(tmp_path)
    assert (found["cores"], found["rules"]["touched"]["jobs"]) == (2, 3)


def test_memory_is_the_command_s_own(tmp_path: Path):
    ours = b"x" * 10**8
    small = workflow.timed([sys.executable, "-c", "pass"], tmp_path, 1)["largest_process"]
    large = workflow.timed([sys.executable, "-c", f"b'x' * {len(ours)}"], tmp_path, 1)["largest_process"]
    assert small < len(ours) < large
