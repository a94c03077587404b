"""Where files of the Hub come from: a mirror, then the Hub at one commit, by the real client; and what errors say.

The client reads its settings (endpoint, token, cache) when it is imported: each case has a process of its own.
"""

import contextlib
import errno
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import huggingface_hub
import pytest
from fake_hub import Hub, Repository
from huggingface_hub.errors import GatedRepoError

from frod import hub as access

COMMIT = "a" * 40
FILES = {"plain/test-0.parquet": b"twelve bytes", "plain/train-0.parquet": b"training", "README.md": b"readme"}
SCRIPT = """
import json, sys, time
from pathlib import Path
time.sleep = lambda seconds: None  # between two tries the client waits, ever longer
from frod import hub

kind, id, revision, patterns, mirror, gated = json.loads(sys.argv[1])
try:
    found = hub.snapshot(kind, id, revision, patterns, Path(mirror) if mirror else None, gated=gated)
except ValueError as error:
    print(json.dumps({"error": str(error)}))
else:
    names = sorted(p.relative_to(found.folder).as_posix() for p in found.folder.rglob("*") if p.is_file())
    print(json.dumps({"revision": found.revision, "files": names, "folder": str(found.folder)}))
"""


@pytest.fixture
def hub():
    with contextlib.closing(Hub({"datasets/someone/texts": Repository(COMMIT, dict(FILES))})) as server:
        yield server


@pytest.fixture
def snapshot(hub, tmp_path):
    def run(id="someone/texts", revision=COMMIT, mirror=None, gated=False, **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "FROD_"))}
        environment = clean | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")} | environment
        arguments = json.dumps(["datasets", id, revision, ["plain/test-*"], mirror and str(mirror), gated])
        command = [sys.executable, "-c", SCRIPT, arguments]
        done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=600)
        return json.loads(done.stdout) if done.returncode == 0 else pytest.fail(done.stderr)

    return run


def test_just_the_files_that_match_at_the_pinned_commit(snapshot):
    found = snapshot()
    assert (found["revision"], found["files"]) == (COMMIT, ["plain/test-0.parquet"])


def test_without_a_pin_the_newest_commit_is_taken_and_told(snapshot, hub):
    assert snapshot(revision=None)["revision"] == COMMIT
    hub.repositories["datasets/someone/texts"].revision = "b" * 40
    assert snapshot(revision=None)["revision"] == "b" * 40


@pytest.mark.parametrize("revision", [COMMIT, None])
def test_what_was_fetched_once_needs_no_network(snapshot, hub, revision):
    snapshot(revision=revision)
    hub.close()
    assert snapshot(revision=revision)["files"] == ["plain/test-0.parquet"]


def test_the_mirror_comes_first(snapshot, hub, tmp_path):
    folder = tmp_path / "mirror" / "datasets" / "someone" / "texts"
    folder.mkdir(parents=True)
    found = snapshot(mirror=tmp_path / "mirror")
    assert found == {"revision": None, "files": [], "folder": str(folder)}  # no mirror.json: the commit is not known
    assert hub.gets == []


def test_what_the_mirror_lacks_comes_from_the_hub(snapshot, tmp_path):
    (tmp_path / "mirror").mkdir()
    assert snapshot(mirror=tmp_path / "mirror")["revision"] == COMMIT


def test_a_mirror_that_is_no_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"FROD_MIRROR\): .*nowhere is not a folder"):
        access.snapshot("datasets", "someone/texts", COMMIT, [], tmp_path / "nowhere")


def test_a_record_that_is_none_is_an_error(tmp_path):
    (tmp_path / "datasets" / "someone" / "texts").mkdir(parents=True)
    (tmp_path / "mirror.json").write_text("[]")
    with pytest.raises(ValueError, match=r"mirror\.json: is not what `frod fetch` writes"):
        access.snapshot("datasets", "someone/texts", COMMIT, [], tmp_path)


def test_without_a_network_the_error_names_the_way_out(snapshot, hub, tmp_path):
    hub.close()
    (tmp_path / "mirror").mkdir()
    error = snapshot(mirror=tmp_path / "mirror")["error"]
    assert error.startswith(
        f"data set someone/texts at {COMMIT[:12]}: not in the mirror {tmp_path}/mirror, and the Hub "
    )
    assert "run `frod fetch --suite SUITE --out DIR`, bring DIR here and set FROD_MIRROR=DIR" in error
    assert "\n" not in error
    assert "no mirror is set" in snapshot(revision=None, HF_HUB_OFFLINE="1")["error"]


def test_a_hub_that_fails_for_a_moment_is_asked_again(snapshot, hub):
    """By its own library: so the rule `backbone` needs no retries, which would repeat mistakes of the user, too."""
    hub.refusals = 2
    assert snapshot()["revision"] == COMMIT
    assert hub.refusals == 0


def test_a_gated_repository(snapshot, hub):
    hub.repositories["datasets/someone/texts"].gated = True
    error = snapshot()["error"]
    assert "is gated. Accept its licence on https://huggingface.co/datasets/someone/texts, then log in with" in error
    assert snapshot(HF_TOKEN="hf_good")["revision"] == COMMIT
    assert "It is gated: accept its licence on " in snapshot("someone/else", gated=True, HF_HUB_OFFLINE="1")["error"]


def test_a_repository_or_commit_that_does_not_exist(snapshot):
    error = snapshot("someone/nothing")["error"]
    assert error.startswith("data set someone/nothing at aaaaaaaaaaaa: the Hub has no such")
    assert "the Hub has no such commit of it; see https://" in snapshot(revision="c" * 40)["error"]


RAISED = {
    "a full disk": (OSError(errno.ENOSPC, "No space left on device"), "the disk is full; free some of it"),
    "a gated model": (
        GatedRepoError("403", response=SimpleNamespace(headers={}, request=None)),
        r"llama at .*: is gated. Accept its licence on https://\S+, then log in .* HF_TOKEN",
    ),
}


@pytest.mark.parametrize(("error", "words"), RAISED.values(), ids=RAISED)
def test_what_the_client_raises_is_told_with_the_remedy(monkeypatch, error, words):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ValueError, match=words):
        access.snapshot("models", "someone/llama", COMMIT, [], None)
