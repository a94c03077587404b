"""Equal content gives equal hashes whatever its times and order."""

import os

import pytest

from frod.provenance import hashes


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
    assert hashes.path_sha256(one) == hashes.path_sha256(two)
    (two / "b").rename(two / "e")
    assert hashes.path_sha256(one) != hashes.path_sha256(two)


def test_missing_directory_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such directory"):
        hashes.tree_hashes(tmp_path / "none")


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
