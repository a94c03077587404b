"""A disk that is full or closed is said in one line with the file and the remedy, and leaves what was there whole.

The full disk is a real one: a file system in memory of two megabytes, or, where none may be mounted, a limit on
the size of files, which the system tells in the same way.
"""

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from closed_disks import full_disk, without_rights
from safetensors.torch import save_file

import frod
from frod import files
from frod.provenance import cache
from frod.tasks import arrays
from frod.training import checkpoints
from frod.training.methods import trained
from frod.training.processes import Processes

LARGE = 500_000  # float64: four megabytes

WRITERS = {
    "torch": lambda path: torch.save({"a": torch.zeros(LARGE, dtype=torch.float64)}, path),
    "safetensors": lambda path: save_file({"a": torch.zeros(LARGE, dtype=torch.float64)}, path),
    "parquet": lambda path: pd.DataFrame({"a": np.random.default_rng(0).random(LARGE)}).to_parquet(path),
    "numpy": lambda path: np.save(path.open("wb"), np.zeros(LARGE)),
    "bytes": lambda path: path.write_bytes(bytes(8 * LARGE)),
}


@pytest.fixture
def small_disk(tmp_path_factory):
    """A disk of each test's own: a writer that has failed keeps its blocks until it is collected."""
    with full_disk(tmp_path_factory.mktemp("disk"), megabytes=2) as folder:
        yield folder


@pytest.mark.parametrize("library", WRITERS)
def test_a_file_on_a_full_disk(small_disk, library):
    target = small_disk / "result.npy"
    target.write_text("before")
    with pytest.raises(OSError, match=re.escape(str(target))) as caught, files.path_for(target) as temporary:
        WRITERS[library](temporary)
    assert caught.value.errno in {errno.ENOSPC, errno.EFBIG} and "run the same command again" in str(caught.value)
    assert target.read_text() == "before" and os.listdir(small_disk) == ["result.npy"]
    del caught  # it holds the writer, and that the file, whose blocks are free only then
    with files.path_for(target) as temporary:  # there is room again
        temporary.write_text("after")
    assert target.read_text() == "after"
    target.unlink()


@pytest.mark.parametrize("kind", ["frod", "full_ft"])
def test_an_adapter_on_a_full_disk(small_disk, kind):
    """Of FRoD by the library's own way of writing, of other methods by safetensors'."""
    model = torch.nn.Sequential(*(torch.nn.Linear(800, 800, bias=False) for _ in range(2)))
    if kind == "frod":
        frod.attach(model, frod.extract_basis(model, ["0", "1"], progress=False), sparse_rate=0.5)
    target = small_disk / "adapter.safetensors"
    with pytest.raises(OSError, match=r"adapter\.safetensors was not written; .*then run the same command again"):
        trained.save(model, target, kind)
    assert os.listdir(small_disk) == []


def test_a_basis_on_a_full_disk(small_disk, monkeypatch):
    from frod.cli.basis import basis as command

    basis = SimpleNamespace(save=lambda folder: WRITERS["safetensors"](folder / "basis.safetensors"))
    monkeypatch.setattr(frod.Basis, "load", lambda folder: basis)
    monkeypatch.setattr(frod.Basis, "join", lambda parts: basis)
    with pytest.raises(OSError, match=r"basis was not written; .*then run the same command again"):
        command("{}", small_disk, small_disk / "basis", join=[small_disk])
    assert os.listdir(small_disk) == []


def test_a_folder_on_a_full_disk_keeps_the_old_one(small_disk):
    target = small_disk / "task"
    with files.whole_directory(target) as temporary:
        (temporary / "array").write_text("before")
    failing = pytest.raises(OSError, match=r"task was not written; .*then run the same command again")
    with failing, files.whole_directory(target) as temporary:
        WRITERS["torch"](temporary / "array")
    assert (target / "array").read_text() == "before" and os.listdir(small_disk) == ["task"]
    shutil.rmtree(target)


def test_an_array_that_is_filled_later_has_its_room_from_the_start(small_disk):
    """A map of a file without blocks would end the process by a signal, without a word, where the disk is full."""
    failing = pytest.raises(OSError, match=r"task was not written; .*then run the same command again")
    with failing, files.whole_directory(small_disk / "task") as temporary:
        arrays.write_images(temporary, "train", (8 * LARGE, 1, 1, 1))
    assert os.listdir(small_disk) == []


def test_the_fault_of_another_file_is_not_laid_at_this_ones_door(tmp_path):
    """What cannot be read while something is written is said as it is."""
    with pytest.raises(PermissionError) as caught, files.path_for(tmp_path / "out"):
        raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere/model.safetensors")
    assert caught.value.filename == "/elsewhere/model.safetensors"
    with pytest.raises(RuntimeError, match="shapes"), files.path_for(tmp_path / "out"):
        raise RuntimeError("shapes do not fit")


def test_a_cache_on_a_full_disk_is_done_without(small_disk, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FROD_CACHE", str(small_disk / "cache"))
    (tmp_path / "made").mkdir()
    WRITERS["bytes"](tmp_path / "made" / "basis.safetensors")
    assert not cache.store(cache.key_of({"a": 1}), tmp_path / "made")
    assert "the result itself is unharmed" in capsys.readouterr().err
    assert not [path for path in small_disk.rglob("*") if path.is_file()]


def test_a_checkpoint_that_finds_no_room_does_not_end_the_training(small_disk, capsys):
    """The last whole checkpoint stays, the training goes on, and the next one is tried as usual."""
    path = small_disk / "checkpoint.pt"
    checkpoints.save(path, "f", Processes(), step=1)
    checkpoints.save(path, "f", Processes(), step=2, weights=torch.zeros(LARGE, dtype=torch.float64))
    said = capsys.readouterr().err
    assert str(path) in said and "the training goes on" in said
    assert checkpoints.load(path, "f", Processes())["step"] == 1
    checkpoints.save(path, "f", Processes(), step=3)
    assert checkpoints.load(path, "f", Processes())["step"] == 3


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_standard_output_that_takes_nothing(unbuffered):
    """Found out by what prints, or where the process ends."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "frod", "--version"], env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert re.fullmatch(r"error: (standard output: |\[Errno 28\] )No space left on device\n", done.stderr)


WRITE = "from frod import files; files.write_text('closed/deep/result.json', '1')"


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_that_may_not_be_written_to(tmp_path, exists):
    folder = tmp_path / "closed" / "deep" if exists else tmp_path / "closed"
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    done = subprocess.run(
        without_rights([sys.executable, "-c", f"import sys; sys.path = {sys.path!r}\n{WRITE}"]),
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "PermissionError: [Errno 13] Permission denied: closed/deep/result.json was not written" in done.stderr
    assert "give yourself the right" in done.stderr
    assert not list(Path(folder).iterdir())
