"""Every command of ours on the pages runs: here, in a finished study; in another test; or the page says it is not.

Those that are run here have the small suite's name in the place of smoke's.
"""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"    (?:\$ )?((?:frod|snakemake|make|dvc|python -m) .*)")
NOT_RUN = "not run by tests"
ELSEWHERE = {
    "make reproduce": "test_published.py",  # a part of it
    "make test": "../../.ci/run",
    "make check": "../../.ci/run",
    "make install": "../../Makefile",  # of every other target
    "make docs": "../../Makefile",  # of lint, which CI runs
    "snakemake --workflow-profile profiles/slurm": "test_slurm.py",
    "snakemake --workflow-profile profiles/kubernetes": "test_kubernetes.py",
    "snakemake --cores 2": "test_init.py",
    "frod init": "test_init.py",
    "frod fetch": "../unit/test_fetch_command.py",
    "frod compare HEAD": "test_revisions.py",
    "frod plan": "../unit/method/test_plan.py",
}


def commands():
    for page in PAGES:
        for line in page.read_text().splitlines():
            found = COMMAND.fullmatch(line)
            if found and NOT_RUN not in line:
                for command in found[1].partition("  #")[0].split(" && "):
                    yield page.name, command.strip()


def elsewhere(command):
    return next((place for start, place in ELSEWHERE.items() if command.startswith(start)), None)


def test_what_other_tests_run_is_named_right():
    assert all((Path(__file__).parent / place).resolve().is_file() for place in ELSEWHERE.values())
    used = {start for start in ELSEWHERE if any(command.startswith(start) for _, command in commands())}
    assert used == set(ELSEWHERE), "no page has these any more"


def of_tiny():
    """The commands to run here, each once."""
    for _, command in commands():
        if elsewhere(command) is None:
            yield command.replace("reports/published/smoke", "reports/tiny").replace("smoke", "tiny")


@pytest.mark.parametrize("command", dict.fromkeys(of_tiny()), ids=str)
def test_a_command_of_the_pages_runs(finished, command):
    finished.run(*shlex.split(command))
