"""Git's history: the files of a commit, whether a clone has all of it, and how old a commit can be at most."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from frod.provenance.git import git, git_text

COMMIT = re.compile(r"[0-9a-f]{40,64}")


def has(commit: str) -> bool:
    """Whether git has a commit, by its full hash."""
    # What a record says is no more than a claim: git is given nothing that it might take for an option.
    return bool(COMMIT.fullmatch(commit)) and git("cat-file", "-e", f"{commit}^{{commit}}") is not None


def unpacked(commit: str, paths: Iterable[str], folder: Path) -> Path | None:
    """Folder below `folder` with those of the paths that a commit has; None where git does not have the commit."""
    if not has(commit):
        return None
    tree = folder / commit
    there = [f"./{path}" for path in paths if git("cat-file", "-e", f"{commit}:./{path}") is not None]
    archive = git("archive", "--format=zip", commit, *there) if there else None
    tree.mkdir(exist_ok=True)
    if archive is not None:
        with zipfile.ZipFile(io.BytesIO(archive)) as sources:
            sources.extractall(tree)  # which keeps every name within the folder
    return tree


def is_whole() -> bool:
    """Whether this clone has what its origin has: it is neither shallow nor of one branch alone."""
    if git_text("rev-parse", "--is-shallow-repository") != "false":
        return False
    fetched = git_text("config", "--get-regexp", r"^remote\..*\.fetch$")
    return not fetched or "refs/heads/*:" in fetched


def is_reached(commit: str) -> bool:
    """Whether a branch, a tag or the checkout leads to a commit; a clone does not get another."""
    of_head = git("merge-base", "--is-ancestor", commit, "HEAD") is not None
    return of_head or bool(git_text("for-each-ref", "--count=1", f"--contains={commit}"))


def made(commit: str) -> datetime:
    """When a commit was made, as it says itself."""
    return datetime.fromisoformat(str(git_text("show", "--no-patch", "--format=%cI", commit)))


def youngest(commit: str) -> tuple[str, datetime]:
    """Of a commit and all before it the last one made, by either of its dates: the commit is no older than that."""
    lines = (git_text("log", "--format=%ct %at %H", commit) or "").splitlines()
    found = {name: max(map(int, dates)) for *dates, name in map(str.split, lines)}
    name = max(found, key=found.__getitem__)  # of several the first, which is the commit itself
    return name, datetime.fromtimestamp(found[name], UTC)


def touching(*paths: str, most: int) -> list[str]:
    """The last commits before this checkout that changed one of some files, the newest first."""
    return (git_text("log", "--full-history", "--format=%H", f"--max-count={most}", "--", *paths) or "").split()
