"""What a killed process left half-written goes with the next write there; what a living one writes stays."""

import subprocess
import sys

import pytest

from frod import files

# Writes the half of an output and is killed, as kill -9 does it.
KILLED = """
import os, signal, sys
from frod import files
with files.{way}(sys.argv[1]) as temporary:
    (temporary / "half" if {folder} else temporary).write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
WRITE = "import sys; from frod import files; files.write_text(sys.argv[1], 'whole')"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("way", "folder"), [("path_for", False), ("whole_directory", True)])
def test_a_dead_writers_leftovers_go_and_a_living_ones_stay(tmp_path, way, folder):
    out = tmp_path / "out.json"
    done = subprocess.run([sys.executable, "-c", KILLED.format(way=way, folder=folder), str(out)], check=False)
    assert done.returncode == -9
    (dead,) = names(tmp_path)
    assert dead.startswith(files.PREFIX)
    with files.path_for(tmp_path / "other.json") as living:
        subprocess.run([sys.executable, "-c", WRITE, str(out)], check=True)
        assert names(tmp_path) == sorted([living.name, "out.json"])
        living.write_text("whole")
    assert names(tmp_path) == ["other.json", "out.json"]


def test_what_another_host_or_an_older_version_left_is_not_touched(tmp_path):
    """Whether its writer lives cannot be told here."""
    kept = [f"{files.PREFIX}elsewhere-1-x.json", f"{files.PREFIX}abc123.json", "results-999999999-x.json"]
    for name in kept:
        (tmp_path / name).touch()
    files.write_text(tmp_path / "out", "whole")
    assert names(tmp_path) == sorted([*kept, "out"])
