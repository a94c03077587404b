"""`frod fetch` against a Hub on localhost, by the real client in its own process: whole, resumed, refused, checked.

A mirror that is quietly incomplete or altered would be found out only on a cluster without a network.
"""

import contextlib
import functools
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from by_hand import write_suite
from fake_hub import Hub, Repository

from frod import hub as access

ROOT = Path(__file__).resolve().parents[2]
PINNED, NEWEST = "1" * 40, "2" * 40
DATA, LLAMA = "datasets/someone/texts", "models/someone/llama"
TEST = "plain/test-00000-of-00001.parquet"
SHARDS = {"plain/train-00000-of-00002.parquet": 20, "plain/train-00001-of-00002.parquet": 10, TEST: 5}
NEEDED = {DATA: set(SHARDS), LLAMA: {"config.json", "model.safetensors", "tokenizer.json"}}
TASK = {
    "title": "texts",
    "kind": "sentences",
    "source": {"hub": "someone/texts", "config": "plain"},
    "licence": "none",
    "columns": {"text": ["sentence"]},
    "rows": {"train": {"rows": 30}, "test": {"rows": 5}},
    "classes": 2,
    "train": {"from": "train"},
    "validation": {"from": "train", "rows": 3},
    "test": {"from": "test"},
    "metrics": ["accuracy"],
}
BACKBONE = {
    "title": "llama",
    "library": "transformers",
    "licence": "none",
    "max_length": 8,
    "source": {"hub": f"someone/llama@{PINNED}", "files": [*sorted(NEEDED[LLAMA]), "vocab.json"]},
}


def parquet(rows):
    out = io.BytesIO()
    pq.write_table(pa.table({"sentence": ["a"] * rows, "label": [0] * rows}), out)
    return out.getvalue()


@functools.cache
def weights(size):
    return np.random.default_rng(0).bytes(size)


def repositories():
    shards = {name: parquet(rows) for name, rows in (SHARDS | {"plain/extra-00000-of-00001.parquet": 50}).items()}
    model = {"config.json": b"{}", "model.safetensors": weights(3_000_000), "tokenizer.json": b"{}"}
    return {
        DATA: Repository(NEWEST, {"README.md": b"not needed"} | shards),
        LLAMA: Repository(PINNED, model | {"pytorch_model.bin": b"a pickle"}),
    }


@pytest.fixture
def hub():
    with contextlib.closing(Hub(repositories())) as server:
        yield server


def project_in(folder, hub):
    """Returns how to run `frod fetch` in a project with one suite; its mirror is folder/mirror."""
    experiment = {"tasks": ["texts"], "backbone": "llama", "rates": {"full_ft": {"lr": 1e-4, "lr_head": 1e-4}}}
    write_suite("one", folder, tasks={"texts": TASK}, backbones={"llama": BACKBONE}, experiments=[experiment])
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "FROD_"))}
    environment = clean | {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "hf"), "OMP_NUM_THREADS": "1"}

    def start(*arguments, **more):
        command = [sys.executable, "-m", "frod", "fetch", "--out", "mirror", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=folder, env=environment | more, **pipes)

    def run(*arguments, code=0, **more):
        """What is printed to both."""
        process = start(*(arguments or ("--suite", "one")), **more)
        out, err = process.communicate(timeout=600)
        assert process.returncode == code and "Traceback" not in err, err
        return SimpleNamespace(out=out, err=err)

    run.start, run.mirror = start, folder / "mirror"
    return run


@pytest.fixture
def project(tmp_path, hub):
    return project_in(tmp_path, hub)


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """The mirror after a fetch, and what that printed: made once."""
    with contextlib.closing(Hub(repositories())) as hub:
        run = project_in(tmp_path_factory.mktemp("fetched"), hub)
        return run.mirror, run().out


@pytest.fixture
def mirrored(project, fetched):
    """A project whose mirror is whole."""
    shutil.copytree(fetched[0], project.mirror)
    return project


def files(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_just_what_the_suite_needs_is_fetched_and_recorded(fetched, hub):
    mirror, out = fetched
    record = json.loads((mirror / "mirror.json").read_text())["repositories"]
    for name, wanted in NEEDED.items():
        assert files(mirror / name) == set(record[name]["files"]) == wanted
        for file in wanted:
            assert (mirror / name / file).read_bytes() == hub.repositories[name].files[file]
    assert {name: entry["revision"] for name, entry in record.items()} == {DATA: NEWEST, LLAMA: PINNED}
    sha256 = hub.repositories[LLAMA].entry("model.safetensors")["lfs"]["oid"]
    assert record[LLAMA]["files"]["model.safetensors"] == {"sha256": sha256, "bytes": 3_000_000}
    assert "models/someone/llama at 111111111111: 3 files, fetching 3, 3 MB" in out


def test_a_second_fetch_downloads_nothing(mirrored, hub):
    assert mirrored().out.count("all there") == 2
    assert hub.gets == []


def test_the_newest_commit_stays_the_one_of_the_first_fetch(mirrored, hub):
    """A mirror that was begun is not mixed from two commits when the Hub moves on."""
    hub.repositories[DATA].revision = "3" * 40
    assert f"data set someone/texts at {NEWEST[:12]}: the Hub has no such commit" in mirrored(code=1).err


@pytest.fixture
def large(hub):
    """Weights of more than one piece of the client's, 10 MB each."""
    hub.repositories[LLAMA].files["model.safetensors"] = weights(30_000_000)


def test_a_killed_fetch_goes_on_with_the_files_that_are_not_whole(project, hub, large):
    hub.stall_after = 25_000_000
    process = project.start("--suite", "one")
    while not hub.stalled.wait(1):
        assert process.poll() is None
    process.kill()
    process.communicate()
    hub.stall_after = None
    hub.gets.clear()
    project()
    assert ("model.safetensors", None) in hub.gets
    assert not [file for file, _ in hub.gets if file.endswith(".parquet")]
    assert files(project.mirror / LLAMA) == NEEDED[LLAMA]
    project("--check", "--suite", "one")


def test_a_connection_that_breaks_is_taken_up_where_it_was(project, hub, large):
    hub.drop_after = 25_000_000
    project()
    first, second, *_ = [asked for file, asked in hub.gets if file == "model.safetensors"]
    assert first is None
    assert int(second.removeprefix("bytes=").partition("-")[0]) >= 10_000_000
    project("--check", "--suite", "one")


def test_a_gated_model_says_how_to_get_in_and_the_rest_is_fetched(project, hub):
    hub.repositories[LLAMA].gated = True
    said = project(code=1).err
    assert "1 of 2 repositories failed" in said
    assert "model someone/llama at 111111111111: is gated. Accept its licence on " in said
    assert files(project.mirror / DATA) == NEEDED[DATA]
    project(HF_TOKEN="hf_good")
    assert "hf_good" not in (project.mirror / "mirror.json").read_text()


def altered(hub, file, **facts):
    """Have the Hub say something else of a file of the model."""
    real = hub.repositories[LLAMA].entry
    hub.repositories[LLAMA].entry = lambda name: real(name) | (facts if name == file else {})


def test_a_file_of_another_hash_than_the_hub_says_is_refused(project, hub):
    """Of a git file as of a large one; and nothing of it stays to be taken for whole."""
    altered(hub, "config.json", oid="0" * 40)
    said = project(code=1).err
    assert f"{LLAMA}: config.json came with another hash than the Hub says; fetch again" in said
    assert files(project.mirror / LLAMA) == NEEDED[LLAMA] - {"config.json"}
    assert LLAMA not in json.loads((project.mirror / "mirror.json").read_text())["repositories"]


def test_missing_repositories_and_files_are_all_named(project, hub):
    del hub.repositories[LLAMA]
    del hub.repositories[DATA].files[TEST]
    said = project(code=1).err
    assert "2 of 2 repositories failed" in said
    assert "model someone/llama at 111111111111: the Hub has no such repository" in said
    assert f"{DATA}: the Hub has no file plain/test-*.parquet" in said


def test_without_a_network_every_repository_is_named(project):
    assert project(code=1, HF_HUB_OFFLINE="1").err.count("the Hub does not give it") == 2


def test_a_parameter_file_that_does_not_exist_is_named(project):
    assert "'nope.yaml' does not exist" in project("--suite", "one", "--params", "nope.yaml", code=2).err


def test_a_file_too_large_for_the_disk_is_refused_before_it_is_fetched(project, hub):
    altered(hub, "model.safetensors", size=10**18)
    assert "error: --out mirror: 1e+09 GB are to be fetched, " in project(code=1).err
    assert hub.gets == []


@pytest.mark.parametrize("fault", ["altered", "truncated", "missing"])
def test_check_finds_a_file_that_is_not_the_recorded_one_and_fetch_mends_it(mirrored, fault):
    path = mirrored.mirror / DATA / TEST
    content = path.read_bytes()
    path.unlink()
    if fault != "missing":
        path.write_bytes(content[:-1] + b"x" if fault == "altered" else content[:-10])
    out = mirrored("--check", code=1).out
    assert out.startswith(f"{DATA}/{TEST}: ")
    assert ("is missing" if fault == "missing" else "sha256") in out
    mirrored()
    assert path.read_bytes() == content
    mirrored("--check", "--suite", "one")


def test_check_of_a_mirror_made_by_hand_counts_files_and_rows(mirrored):
    """No mirror.json: the registry's sizes are all that there is to go by."""
    (mirrored.mirror / "mirror.json").unlink()
    out = mirrored("--check", "--suite", "one").out
    assert f"{DATA}/{TEST}: has no recorded sha256, like {len(NEEDED[DATA]) - 1} more of" in out
    assert out.count("sha256") == len(NEEDED)  # a line for each repository
    (mirrored.mirror / DATA / TEST).write_bytes(parquet(4))
    (mirrored.mirror / DATA / "plain" / "train-00001-of-00002.parquet").unlink()
    (mirrored.mirror / LLAMA / "config.json").unlink()
    out = mirrored("--check", "--suite", "one", code=1).out
    assert f"{DATA}/plain/test-*.parquet: 4 rows, the registry says 5" in out
    assert f"{DATA}/plain/train-*.parquet: 1 files, their names promise 2" in out
    assert f"{LLAMA}/config.json: is missing" in out


def test_check_of_what_is_no_mirror_is_an_error(project):
    """Nothing to hold files against is not the same as nothing wrong."""
    project.mirror.mkdir()
    (project.mirror / "notes.txt").touch()
    assert "--out mirror: has no mirror.json, so there is nothing to hold" in project("--check", code=1).err
    assert f"{DATA}: is missing" in project("--check", "--suite", "one", code=1).out


def test_a_suite_that_needs_nothing_of_the_hub_says_so(project, tmp_path):
    write_suite("local", tmp_path)
    for more in ([], ["--check"]):
        assert "the suite local needs nothing from the Hub" in project("--suite", "local", *more).out
    assert not project.mirror.exists()


def test_the_mirror_serves_and_tells_its_commit(fetched):
    mirror, _ = fetched
    found = access.snapshot("datasets", "someone/texts", None, ["plain/test-*.parquet"], mirror)
    assert (found.folder, found.revision) == (mirror / DATA, NEWEST)
    with pytest.raises(ValueError, match=r"at 999999999999: the mirror .* holds commit 222222222222"):
        access.snapshot("datasets", "someone/texts", "9" * 40, [], mirror)
