"""What was prepared from a user's own files is stale when their content changes, and not when only their times do."""

import os
import shutil
from types import SimpleNamespace

import pytest

from frod.pipeline import local_inputs
from frod.pipeline.load import own_paths

LONG_AGO = 1_000_000_000


@pytest.fixture
def state(tmp_path, monkeypatch):
    """The state as a new process sees it, and how many files it read for that."""
    read = []
    real = local_inputs.files.sha256
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local_inputs.files, "sha256", lambda path: (read.append(path), real(path))[1])

    def look(*paths):
        read.clear()
        local_inputs.state.cache_clear()
        return local_inputs.state(paths), len(read)

    return look


def write(path, content, moment=LONG_AGO):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (moment, moment))


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "mine" / "cat" / "0.png", b"one")
    write(tmp_path / "mine" / "dog" / "0.png", b"two")
    return type(tmp_path)("mine")  # relative, as a suite names it


def test_a_clone_with_other_times_is_the_same_data(tmp_path, folder, state):
    before, _ = state(folder)
    shutil.copytree(tmp_path / "mine", tmp_path / "copy")  # keeps no times, as git keeps none
    shutil.rmtree(tmp_path / "mine")
    (tmp_path / "copy").rename(tmp_path / "mine")
    for path in (tmp_path / "mine").rglob("*.png"):
        os.utime(path, (LONG_AGO + 77, LONG_AGO + 77))
    assert state(folder) == (before, 2)


def test_a_file_is_read_once_as_long_as_size_and_time_are_the_same(folder, state):
    first, read = state(folder)
    assert read == 2
    assert state(folder) == (first, 0)


@pytest.mark.parametrize("moment", [LONG_AGO + 1, None], ids=["at another time", "just now"])
def test_other_content_of_the_same_size_is_other_data(tmp_path, folder, state, moment):
    before, _ = state(folder)
    path = tmp_path / "mine" / "cat" / "0.png"
    path.write_bytes(b"ONE")
    if moment:
        os.utime(path, (moment, moment))
    assert state(folder)[0] != before


def test_what_was_written_just_now_is_read_again(tmp_path, folder, state):
    """Two writes within one tick of a coarse clock leave the same size and time."""
    path = tmp_path / "mine" / "cat" / "0.png"
    path.write_bytes(b"ONE")
    stat = path.stat()
    before, _ = state(folder)
    path.write_bytes(b"TWO")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert state(folder)[0] != before


def test_a_name_is_part_of_it_and_a_missing_path_is_nothing(tmp_path, folder, state):
    before, _ = state(folder)
    (tmp_path / "mine" / "cat" / "0.png").rename(tmp_path / "mine" / "cat" / "1.png")
    assert state(folder)[0] != before
    assert state(tmp_path / "none") == ("", 0)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"a": 1}', b"\xff"])
def test_a_damaged_memory_costs_only_time(tmp_path, folder, state, content):
    before, _ = state(folder)
    (tmp_path / local_inputs.FILE).write_bytes(content)
    assert state(folder) == (before, 2)


def test_a_pretrained_backbone_changes_with_the_files_of_the_task_it_learns():
    hub, own = SimpleNamespace(source=SimpleNamespace(id="a/b")), SimpleNamespace(source=SimpleNamespace(path="rows"))
    learner = SimpleNamespace(source=SimpleNamespace(recipe="x"), pretrained_on="mine")
    assert [own_paths(one, {"mine": own}) for one in (hub, own, learner)] == [(), ("rows",), ("rows",)]
