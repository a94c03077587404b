"""Equal content gives equal hashes whatever its times and order, and altered content is refused with both hashes."""

import hashlib
import os

import pytest

from frod import files
from frod.provenance import hashes


def test_file_hash_is_sha256_of_the_bytes(tmp_path):
    content = os.urandom(3 << 20)
    (tmp_path / "file").write_bytes(content)
    assert files.sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def _tree(top, names):
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    return top


def test_tree_hash_sees_names_and_content_only(tmp_path):
    one = _tree(tmp_path / "one", ["b", "a/c", "a.d"])
    two = _tree(tmp_path / "two", ["a.d", "a/c", "b"])
    os.utime(two / "b", (0, 0))
    (two / ".snakemake_timestamp").touch()
    assert hashes.tree_sha256(one) == hashes.tree_sha256(two) == hashes.path_sha256(one)
    (two / "b").rename(two / "e")
    assert hashes.tree_sha256(one) != hashes.tree_sha256(two)


def test_missing_directory_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such directory"):
        hashes.tree_sha256(tmp_path / "none")


def test_canonical_json():
    assert hashes.canonical_json({"b": [1, 2.5, None, True], "a": "é"}) == '{"a":"é","b":[1,2.5,null,true]}'
    assert hashes.json_sha256({"a": 1, "b": 2}) == hashes.json_sha256({"b": 2, "a": 1})
    assert hashes.json_sha256({"a": 1}) != hashes.json_sha256({"a": 1.0})
    with pytest.raises(ValueError):
        hashes.json_sha256({"a": float("nan")})
    with pytest.raises(TypeError):
        hashes.json_sha256({"a": {1, 2}})
    with pytest.raises(TypeError, match="string keys"):
        hashes.json_sha256({1: "a"})


def test_verified_reading_names_expected_found_and_remedy(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"good")
    good = files.sha256(path)
    assert hashes.read_verified(path, good) == b"good"
    hashes.verify_tree(tmp_path, {"file": good})
    path.write_bytes(b"bad")
    for read in (hashes.read_verified, hashes.verify_file):
        with pytest.raises(ValueError) as error:
            read(path, good, remedy="fetch it again")
        assert good in str(error.value) and files.sha256(path) in str(error.value)
        assert "fetch it again" in str(error.value)
    with pytest.raises(ValueError):
        hashes.verify_tree(tmp_path, {"file": good})
    with pytest.raises(FileNotFoundError, match="1 of 2 files are missing: gone"):
        hashes.verify_tree(tmp_path, {"file": good, "gone": good})


def test_an_interrupted_write_leaves_the_old_content(tmp_path):
    path = tmp_path / "deep" / "file.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), files.path_for(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("interrupted")
    with pytest.raises(ValueError):
        files.write_json(path, {"a": float("inf")})
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert os.listdir(path.parent) == ["file.json"]


def test_temporary_name_keeps_the_suffix_and_the_result_the_usual_mode(tmp_path):
    with files.path_for(tmp_path / "table.csv.gz") as temporary:
        assert temporary.name.endswith(".csv.gz")
        temporary.write_bytes(b"")
    (tmp_path / "plain").touch()
    assert (tmp_path / "table.csv.gz").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_directory_is_replaced_whole_or_not_at_all(tmp_path):
    target = _tree(tmp_path / "out", ["old"])
    with pytest.raises(RuntimeError), files.whole_directory(target) as temporary:
        (temporary / "new").touch()
        raise RuntimeError("interrupted")
    assert os.listdir(target) == ["old"]
    with files.whole_directory(target) as temporary:
        (temporary / "new").touch()
    assert os.listdir(target) == ["new"]
    assert os.listdir(tmp_path) == ["out"]
