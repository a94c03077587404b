"""The cache gives back exactly what was stored or nothing: a damaged, half-written or foreign entry is never served."""

import json
import os
import threading
from pathlib import Path

import pytest

from frod.provenance import cache, hashes

INPUTS = {"model": "a" * 64, "targets": ["query", "value"], "ridge": 1e-3}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FROD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def made(tmp_path):
    directory = tmp_path / "made"
    (directory / "deep").mkdir(parents=True)
    (directory / "basis.safetensors").write_bytes(os.urandom(3000))
    (directory / "deep" / "manifest.json").write_text("{}")
    return directory


@pytest.fixture
def entry(made):
    key = cache.key_of(INPUTS)
    assert cache.store(key, made)
    return cache.location() / key[:2] / key


def test_round_trip(made, tmp_path):
    key = cache.key_of(INPUTS)
    assert not cache.fetch(key, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert cache.store(key, made) and cache.store(key, made), "a second time it is there"
    assert cache.fetch(key, tmp_path / "out")
    assert hashes.tree_hashes(tmp_path / "out") == hashes.tree_hashes(made)


def test_key_depends_on_every_input_and_not_on_their_order():
    assert cache.key_of(dict(reversed(INPUTS.items()))) == cache.key_of(INPUTS)
    for name in INPUTS:
        assert cache.key_of({**INPUTS, name: "other"}) != cache.key_of(INPUTS)


def test_a_bad_key_is_refused(tmp_path):
    with pytest.raises(ValueError, match="64 hexadecimal"):
        cache.fetch("../../etc", tmp_path / "out")


def test_fetch_replaces_an_older_directory_whole(made, entry, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "stale").write_text("from before")
    assert cache.fetch(entry.name, out)
    assert hashes.tree_hashes(out) == hashes.tree_hashes(made)


def test_the_copy_is_no_link(entry, tmp_path):
    assert cache.fetch(entry.name, tmp_path / "one")
    (tmp_path / "one" / "basis.safetensors").write_bytes(b"changed by accident")
    assert cache.fetch(entry.name, tmp_path / "two")
    assert (tmp_path / "two" / "basis.safetensors").stat().st_size == 3000


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[1500] ^= 1
    path.write_bytes(content)


def change(path, **values):
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"files": manifest["files"] | values.pop("files", {})} | values))


BASIS, MANIFEST = "content/basis.safetensors", "manifest.json"
DAMAGES = {
    "a flipped byte": (BASIS, flip_a_byte),
    "cut short": (BASIS, lambda path: path.write_bytes(path.read_bytes()[:100])),
    "a lost file": (BASIS, Path.unlink),
    "a lost manifest": (MANIFEST, Path.unlink),
    "a broken manifest": (MANIFEST, lambda path: path.write_text('{"files": {')),
    "another's manifest": (MANIFEST, lambda path: change(path, key="b" * 64)),
    "a file outside": (MANIFEST, lambda path: change(path, files={"../../escaped": "c" * 64})),
}


@pytest.mark.parametrize(("name", "damage"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_noticed_reported_and_made_anew(name, damage, made, entry, tmp_path, capsys):
    damage(entry / name)
    assert not cache.fetch(entry.name, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    said = capsys.readouterr().err
    assert entry.name[:12] in said and "removed" in said
    assert not entry.exists()
    assert cache.store(entry.name, made) and cache.fetch(entry.name, tmp_path / "out")


def test_no_permission_is_said_and_survived(made, monkeypatch, tmp_path, capsys):
    blocked = tmp_path / "a file where the folder should be"
    blocked.write_text("")
    monkeypatch.setenv("FROD_CACHE", str(blocked))
    assert not cache.store(cache.key_of(INPUTS), made)
    assert not cache.fetch(cache.key_of(INPUTS), tmp_path / "out")
    assert "not kept" in capsys.readouterr().err
    assert (made / "basis.safetensors").exists()


def test_a_full_disk_is_said_and_leaves_nothing_behind(made, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_copy", full)
    assert not cache.store(cache.key_of(INPUTS), made)
    assert "No space left" in capsys.readouterr().err
    assert not [path for path in cache.location().rglob("*") if path.is_file()]
    assert (made / "basis.safetensors").exists()


def test_concurrent_writers_leave_one_whole_entry(made, tmp_path):
    key = cache.key_of(INPUTS)
    results = []
    threads = [threading.Thread(target=lambda: results.append(cache.store(key, made))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 8
    assert [path.name for path in (cache.location() / key[:2]).iterdir()] == [key]
    assert cache.fetch(key, tmp_path / "out")


def test_location_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("FROD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.location() == tmp_path / "frod"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/invalid")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.location() == tmp_path / "home" / ".cache" / "frod"


def test_an_entry_whose_files_are_removed_while_it_is_stored_is_none(made, tmp_path, monkeypatch, capsys):
    """As when a person empties the cache: what is left would be taken for the whole."""
    key, copy = cache.key_of(INPUTS), cache._copy

    def copy_and_lose(source, target):
        copy(source, target)
        if source.name == "basis.safetensors":
            target.unlink()

    monkeypatch.setattr(cache, "_copy", copy_and_lose)
    assert not cache.store(key, made)
    assert "were removed" in capsys.readouterr().err
    assert not cache.fetch(key, tmp_path / "fetched")
