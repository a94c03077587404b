"""Hashes of files and folders are those of hashlib and of DVC; a differing text is named by row and column, or line."""

import hashlib

import pytest

from frod.audit.digests import Digests
from frod.audit.dvc_lock import files_in, folder_md5
from frod.audit.findings import Findings
from frod.audit.report_files import first_difference


def test_both_hashes_come_from_one_reading(tmp_path):
    content = bytes(range(256)) * 9000  # more than one block
    (tmp_path / "a").write_bytes(content)
    digests = Digests(md5=True)
    digests.read([tmp_path / "a", tmp_path / "missing"])
    (tmp_path / "a").write_bytes(b"")  # not read again
    assert digests.sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    assert digests.sha256(tmp_path / "a", md5=True) == hashlib.md5(content).hexdigest()
    assert digests.sha256(tmp_path / "missing") is None


def test_a_wrong_and_a_missing_file_are_told_apart(tmp_path):
    (tmp_path / "a").write_text("a")
    findings = Findings()
    for name in ("a", "b"):
        Digests().compare(findings, tmp_path / name, "00", by="list.json")
    assert [one.what for one in findings.found] == ["sha256 (in list.json)", "is named in list.json, and missing"]


def test_a_file_that_gives_no_bytes_is_a_finding(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(5, "Input/output error")

    (tmp_path / "a").write_text("a")
    monkeypatch.setattr("frod.audit.digests.open", refuse, raising=False)
    findings = Findings()
    Digests().compare(findings, tmp_path / "a", "00", by="list.json")
    assert [(one.what, one.found) for one in findings.found] == [("sha256 (in list.json)", "unreadable")]


def test_a_folder_has_dvcs_own_hash(tmp_path, monkeypatch):
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta
    from dvc_data.hashfile.tree import Tree

    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvcignore").write_text("# comment\n.tmp-*\n__pycache__/\n")
    md5s, tree = {}, Tree()
    for name in ("b", "a/z", "a-b/c", "a/.tmp-x", "a/__pycache__/y", "é"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    for path in files_in(tmp_path / "data"):
        name = path.relative_to(tmp_path / "data").as_posix()
        md5s[name] = hashlib.md5(path.read_bytes()).hexdigest()
        tree.add(tuple(name.split("/")), Meta(), HashInfo("md5", md5s[name]))
    assert sorted(md5s) == ["a-b/c", "a/z", "b", "é"]
    tree.digest()
    assert folder_md5(md5s) == tree.hash_info.value


@pytest.mark.parametrize(
    ("kind", "expected", "found", "named"),
    [
        (".csv", "task,test\nx,0.5\n", "task,test\nx,0.6\n", ("line 2 (x,0.5), column test", "0.5", "0.6")),
        (".csv", "a,b\n1,2\n", "a,b\n1,2\n3,4\n", ("lines", "2", "3")),
        (".csv", "a,b\n1,2\n", "a,b\r\n1,2\r\n", ("lines", "2", "2")),
        (".json", '{"a": {"b": 1}}', '{"a": {"b": 2}}', ("a.b", "1", "2")),
        (".json", '{"a": 1}', '{"a": ', ("line 1", '{"a": 1}', '{"a": ')),
        (".html", "one\ntwo\n", "one\ntwa\n", ("line 2", "two", "twa")),
    ],
)  # fmt: skip
def test_the_first_difference_of_a_text(kind, expected, found, named):
    assert first_difference(kind, found, expected) == named
