"""Git's history is asked for no more than it has: which commit is here, whether all are, how old one can be."""

import os
import subprocess

import pytest

from frod.provenance import history


@pytest.fixture
def git(tmp_path, monkeypatch):
    """A repository of one commit; what is given runs git there, `hour` the time of a commit."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, hour=0):
        date = {f"GIT_{who}_DATE": f"2024-05-01T{hour:02}:00:00+00:00" for who in ("AUTHOR", "COMMITTER")}
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", *author, *arguments], env=os.environ | date, check=True, capture_output=True, text=True
        ).stdout.strip()

    run("init", "-q")
    run("commit", "-qm", "one", "--allow-empty", hour=10)
    return run


def test_a_clone_of_a_branch_or_of_the_last_commits_is_not_whole(git, tmp_path, monkeypatch):
    assert history.is_whole()
    git("commit", "-qm", "two", "--allow-empty")
    clone = tmp_path / "clone"
    for options, whole in (([], True), (["--single-branch"], False), (["--depth=1"], False)):
        git("clone", "-q", *options, tmp_path.as_uri(), f"{clone}{len(options)}{whole}{options[:1]}")
        monkeypatch.chdir(f"{clone}{len(options)}{whole}{options[:1]}")
        assert history.is_whole() == whole
        monkeypatch.chdir(tmp_path)


def test_a_commit_is_known_by_its_full_hash_alone(git):
    commit = git("rev-parse", "HEAD")
    assert history.has(commit)
    assert not any(map(history.has, ("HEAD", commit[:12], "1" * 40, "--help", "")))


def test_a_commit_is_as_old_as_the_youngest_that_it_stands_on(git):
    first = git("rev-parse", "HEAD")
    git("commit", "-qm", "later", "--allow-empty", hour=14)
    later = git("rev-parse", "HEAD")
    git("commit", "-qm", "dated back", "--allow-empty", hour=11)
    assert [history.youngest(commit)[0] for commit in (first, later, git("rev-parse", "HEAD"))] == [first, later, later]
    git("commit", "-qm", "of the same second", "--allow-empty", hour=14)
    head = git("rev-parse", "HEAD")
    assert history.youngest(head)[0] == head and history.youngest(head)[1].hour == 14


def test_a_commit_that_only_this_clone_has_is_not_reached(git):
    on_branch = git("rev-parse", "HEAD")
    lost = git("commit-tree", "-m", "lost", "HEAD^{tree}")
    assert (history.is_reached(on_branch), history.is_reached(lost)) == (True, False)
    git("tag", "kept", lost)
    assert history.is_reached(lost)


def test_what_a_commit_does_not_have_is_not_unpacked(git, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    git("add", "a.txt")
    git("commit", "-qm", "a")
    folder = tmp_path / "folder"
    folder.mkdir()
    tree = history.unpacked(git("rev-parse", "HEAD"), ["a.txt", "b.txt"], folder)
    assert [path.name for path in tree.iterdir()] == ["a.txt"]
    assert list(history.unpacked(git("rev-parse", "HEAD"), ["b.txt"], folder).rglob("b.txt")) == []
    assert history.unpacked("1" * 40, ["a.txt"], folder) is None


def test_a_commit_is_unpacked_as_it_is(git, tmp_path, monkeypatch):
    """Neither attributes nor objects put in the place of others alter or hide what it has."""
    files = {"a.txt": "$Format:%H$\n", "b/c.txt": "c\r\n", ".gitattributes": "a.txt export-subst\nb export-ignore\n"}
    (tmp_path / "b").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content.encode())
    git("add", ".")
    git("commit", "-qm", "files")
    commit = git("rev-parse", "HEAD")
    git("replace", commit, git("rev-parse", "HEAD~"))
    for name, value in history.HASHED.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "folder"
    folder.mkdir()
    tree = history.unpacked(commit, ["a.txt", "b"], folder)
    found = {path.relative_to(tree).as_posix(): path.read_bytes().decode() for path in tree.rglob("*.txt")}
    assert found == {name: content for name, content in files.items() if name.endswith(".txt")}
