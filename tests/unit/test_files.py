"""A file or folder is there whole or not at all, whatever happens while it is written; changed ones are named."""

import hashlib

import pytest

from frod.files import path_for, sha256, verify, whole_directory, write_json


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_appears_with_its_last_file(tmp_path):
    with whole_directory(tmp_path / "deep" / "out") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "deep" / "out").exists()
    assert names(tmp_path / "deep") == ["out"] and names(tmp_path / "deep" / "out") == ["a"]


@pytest.mark.parametrize("before", [["old"], []])  # an empty one: workflows make the folders of their outputs first
def test_what_was_there_is_replaced(tmp_path, before):
    out = tmp_path / "out"
    out.mkdir()
    for name in before:
        (out / name).touch()
    with whole_directory(out) as folder:
        (folder / "new").touch()
    assert names(out) == ["new"] and names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_no_trace(tmp_path, error):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(error), whole_directory(tmp_path / "out") as folder:
        (folder / "half").touch()
        raise error
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["old"]


def test_others_may_read_the_folder(tmp_path):
    """And what libraries wrote into it that keep others out, as safetensors does."""
    with whole_directory(tmp_path / "out") as folder:
        (folder / "within").mkdir(mode=0o700)
        (folder / "within" / "weights").touch(mode=0o600)
    (tmp_path / "plain").mkdir()
    (tmp_path / "file").touch()
    for made, like in (("out", "plain"), ("out/within", "plain"), ("out/within/weights", "file")):
        assert (tmp_path / made).stat().st_mode == (tmp_path / like).stat().st_mode


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"frod" * 100_000)
    assert sha256(tmp_path / "a") == hashlib.sha256(b"frod" * 100_000).hexdigest()


def test_a_missing_and_a_changed_file_are_named_with_both_hashes_and_the_remedy(tmp_path):
    for name in ("good", "changed"):
        (tmp_path / name).write_text(name)
    good = sha256(tmp_path / "good")
    verify(tmp_path, {"good": good}, by="list.json", remedy="fetch it again")
    with pytest.raises(ValueError) as error:
        verify(tmp_path, dict.fromkeys(("good", "changed", "gone"), good), by="list.json", remedy="fetch it again")
    changed, gone, remedy = str(error.value).split("; ")
    assert changed == f"{tmp_path}/changed: sha256 is {sha256(tmp_path / 'changed')}, list.json says {good}"
    assert gone == f"{tmp_path}/gone: is missing, list.json names it" and remedy == "fetch it again"


def test_an_interrupted_write_leaves_the_old_content(tmp_path):
    path = tmp_path / "deep" / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), path_for(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("interrupted")
    with pytest.raises(ValueError):
        write_json(path, {"a": float("inf")})
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert names(path.parent) == ["file.json"]


def test_temporary_name_keeps_the_suffix_and_the_result_the_usual_mode(tmp_path):
    with path_for(tmp_path / "table.csv.gz") as temporary:
        assert temporary.name.endswith(".csv.gz")
        temporary.write_bytes(b"")
    (tmp_path / "plain").touch()
    assert (tmp_path / "table.csv.gz").stat().st_mode == (tmp_path / "plain").stat().st_mode
