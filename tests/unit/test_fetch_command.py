"""`frod fetch` against a Hub on localhost, by the real client in its own process: whole, resumed, refused, checked.

A mirror that is quietly incomplete or altered would be found out only on a cluster without a network.
"""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from fake_hub import Hub, Repository

from frod import hub as access

ROOT = Path(__file__).resolve().parents[2]
PINNED, NEWEST = "1" * 40, "2" * 40
DATA, LLAMA = "datasets/someone/texts", "models/someone/llama"


def parquet(rows):
    out = io.BytesIO()
    pq.write_table(pa.table({"sentence": ["a"] * rows, "label": [0] * rows}), out)
    return out.getvalue()


def repositories():
    return {
        DATA: Repository(
            NEWEST,
            {
                "README.md": b"not needed",
                "plain/train-00000-of-00002.parquet": parquet(20),
                "plain/train-00001-of-00002.parquet": parquet(10),
                "plain/test-00000-of-00001.parquet": parquet(5),
                "plain/extra-00000-of-00001.parquet": parquet(50),
            },
        ),
        LLAMA: Repository(
            PINNED,
            {
                "config.json": b"{}",
                "model.safetensors": np.random.default_rng(0).bytes(30_000_000),
                "tokenizer.json": b"{}",
                "pytorch_model.bin": b"a pickle",
            },
        ),
    }


NEEDED = {
    DATA: {f"plain/{name}.parquet" for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001")},
    LLAMA: {"config.json", "model.safetensors", "tokenizer.json"},
}
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
    "source": {
        "hub": f"someone/llama@{PINNED}",
        "files": ["config.json", "model.safetensors", "tokenizer.json", "vocab.json"],
    },
}


@pytest.fixture
def hub():
    server = Hub(repositories())
    yield server
    server.close()


@pytest.fixture
def project(tmp_path, hub):
    """Returns how to run `frod fetch` in a project with one suite; its mirror is tmp_path/mirror."""
    suite = {
        "title": "one",
        "description": "one",
        "seeds": [0],
        "methods": {"full_ft": {"kind": "full_ft"}},
        "tasks": {"texts": TASK},
        "backbones": {"llama": BACKBONE},
        "experiments": [{"tasks": ["texts"], "backbone": "llama", "rates": {"full_ft": {"lr": 1e-4, "lr_head": 1e-4}}}],
    }
    (tmp_path / "workflow" / "suites").mkdir(parents=True)
    (tmp_path / "workflow" / "suites" / "one.yaml").write_text(yaml.safe_dump(suite))
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "FROD_"))}
    environment = clean | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "OMP_NUM_THREADS": "1"}

    def start(*arguments, **more):
        command = [sys.executable, "-m", "frod", "fetch", "--out", "mirror", *arguments]
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment | more, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(*arguments, **more):
        process = start(*(arguments or ("--suite", "one")), **more)
        out, err = process.communicate(timeout=600)
        return process.returncode, out, err

    run.start, run.mirror = start, tmp_path / "mirror"
    return run


def files(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_just_what_the_suite_needs_is_fetched_and_recorded(project, hub):
    code, out, err = project()
    assert code == 0, err
    for name, wanted in NEEDED.items():
        assert files(project.mirror / name) == wanted
        for file in wanted:
            assert (project.mirror / name / file).read_bytes() == hub.repositories[name].files[file]
    record = json.loads((project.mirror / "mirror.json").read_text())["repositories"]
    assert {name: set(entry["files"]) for name, entry in record.items()} == NEEDED
    assert {name: entry["revision"] for name, entry in record.items()} == {DATA: NEWEST, LLAMA: PINNED}
    weights = record[LLAMA]["files"]["model.safetensors"]
    assert weights == {
        "sha256": hub.repositories[LLAMA].entry("model.safetensors")["lfs"]["oid"],
        "bytes": 30_000_000,
    }
    assert "models/someone/llama at 111111111111: 3 files, fetching 3, 30 MB" in out


def test_a_second_fetch_downloads_nothing(project, hub):
    assert project()[0] == 0
    hub.gets.clear()
    code, out, _ = project()
    assert (code, hub.gets) == (0, [])
    assert out.count("all there") == 2


def test_the_newest_commit_stays_the_one_of_the_first_fetch(project, hub):
    """A mirror that was begun is not mixed from two commits when the Hub moves on."""
    assert project()[0] == 0
    hub.repositories[DATA].revision = "3" * 40
    code, _, err = project()
    assert code == 1
    assert f"data set someone/texts at {NEWEST[:12]}: the Hub has no such commit" in err


def test_a_killed_fetch_goes_on_with_the_files_that_are_not_whole(project, hub):
    hub.stall_after = 25_000_000
    process = project.start("--suite", "one")
    while not hub.stalled.wait(1):
        assert process.poll() is None
    process.kill()
    process.communicate()
    hub.stall_after = None
    hub.gets.clear()
    code, _, err = project()
    assert code == 0, err
    assert ("model.safetensors", None) in hub.gets
    assert not [file for file, _ in hub.gets if file.endswith(".parquet")]
    assert files(project.mirror / LLAMA) == NEEDED[LLAMA]
    assert project("--check", "--suite", "one")[0] == 0


def test_a_connection_that_breaks_is_taken_up_where_it_was(project, hub):
    hub.drop_after = 25_000_000
    code, _, err = project()
    assert code == 0, err
    asked = [asked for file, asked in hub.gets if file == "model.safetensors"]
    assert asked[0] is None
    assert int(asked[1].removeprefix("bytes=").partition("-")[0]) >= 10_000_000
    assert project("--check", "--suite", "one")[0] == 0


def test_a_gated_model_says_how_to_get_in_and_the_rest_is_fetched(project, hub):
    hub.repositories[LLAMA].gated = True
    code, _, err = project()
    assert code == 1
    assert "1 of 2 repositories failed" in err
    assert "model someone/llama at 111111111111: is gated. Accept its licence on " in err
    assert files(project.mirror / DATA) == NEEDED[DATA]
    code, _, err = project(HF_TOKEN="hf_good")
    assert code == 0, err
    assert "hf_good" not in (project.mirror / "mirror.json").read_text()


def test_a_file_of_another_hash_than_the_hub_says_is_refused(project, hub):
    """Of a git file as of a large one; and nothing of it stays to be taken for whole."""
    real = hub.repositories[LLAMA].entry
    hub.repositories[LLAMA].entry = lambda name: real(name) | ({"oid": "0" * 40} if name == "config.json" else {})
    code, _, err = project()
    assert code == 1
    assert f"{LLAMA}: config.json came with another hash than the Hub says; fetch again" in err
    assert files(project.mirror / LLAMA) == NEEDED[LLAMA] - {"config.json"}
    assert LLAMA not in json.loads((project.mirror / "mirror.json").read_text())["repositories"]


def test_missing_repositories_and_files_are_all_named(project, hub):
    del hub.repositories[LLAMA]
    del hub.repositories[DATA].files["plain/test-00000-of-00001.parquet"]
    code, _, err = project()
    assert code == 1
    assert "2 of 2 repositories failed" in err
    assert "model someone/llama at 111111111111: the Hub has no such repository" in err
    assert f"{DATA}: the Hub has no file plain/test-*.parquet" in err


def test_without_a_network_every_repository_is_named(project):
    code, _, err = project(HF_HUB_OFFLINE="1")
    assert code == 1
    assert err.count("the Hub does not give it") == 2
    assert "Traceback" not in err


def test_a_parameter_file_that_does_not_exist_is_named(project):
    code, _, err = project("--suite", "one", "--params", "nope.yaml")
    assert code == 2
    assert "'nope.yaml' does not exist" in err
    assert "Traceback" not in err


def test_a_file_too_large_for_the_disk_is_refused_before_it_is_fetched(project, hub):
    real = hub.repositories[LLAMA].entry

    def huge(name):
        entry = real(name)
        return entry | {"size": 10**18} if name == "model.safetensors" else entry

    hub.repositories[LLAMA].entry = huge
    code, _, err = project()
    assert code == 1
    assert "error: --out mirror: 1e+09 GB are to be fetched, " in err
    assert hub.gets == []


@pytest.mark.parametrize("fault", ["altered", "truncated", "missing"])
def test_check_finds_a_file_that_is_not_the_recorded_one_and_fetch_mends_it(project, hub, fault):
    assert project()[0] == 0
    name = "plain/test-00000-of-00001.parquet"
    path = project.mirror / DATA / name
    content = path.read_bytes()
    path.unlink()
    if fault != "missing":
        path.write_bytes(content[:-1] + b"x" if fault == "altered" else content[:-10])
    code, out, _ = project("--check")
    assert code == 1
    assert out.startswith(f"{DATA}/{name}: ")
    assert ("is missing" if fault == "missing" else "sha256") in out
    assert project()[0] == 0
    assert path.read_bytes() == content
    assert project("--check", "--suite", "one")[0] == 0


def test_check_of_a_mirror_made_by_hand_counts_files_and_rows(project, hub):
    """No mirror.json: the registry's sizes are all that there is to go by."""
    for name, wanted in NEEDED.items():
        for file in wanted:
            path = project.mirror / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(hub.repositories[name].files[file])
    code, out, _ = project("--check", "--suite", "one")
    assert code == 0
    more = len(NEEDED[DATA]) - 1
    assert f"{DATA}/plain/test-00000-of-00001.parquet: has no recorded sha256, like {more} more of" in out
    assert out.count("sha256") == len(NEEDED)  # a line for each repository
    (project.mirror / DATA / "plain" / "test-00000-of-00001.parquet").write_bytes(parquet(4))
    (project.mirror / DATA / "plain" / "train-00001-of-00002.parquet").unlink()
    (project.mirror / LLAMA / "config.json").unlink()
    code, out, _ = project("--check", "--suite", "one")
    assert code == 1
    assert f"{DATA}/plain/test-*.parquet: 4 rows, the registry says 5" in out
    assert f"{DATA}/plain/train-*.parquet: 1 files, their names promise 2" in out
    assert f"{LLAMA}/config.json: is missing" in out


def test_the_mirror_serves_and_tells_its_commit(project, hub):
    assert project()[0] == 0
    hub.close()
    found = access.snapshot("datasets", "someone/texts", None, ["plain/test-*.parquet"], project.mirror)
    assert (found.folder, found.revision) == (project.mirror / DATA, NEWEST)
    with pytest.raises(ValueError, match=r"at 999999999999: the mirror .* holds commit 222222222222"):
        access.snapshot("datasets", "someone/texts", "9" * 40, [], project.mirror)
