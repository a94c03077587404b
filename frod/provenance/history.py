"""Git's history: the files of a commit, whether a clone has all of it, and how old a commit can be at most."""

from __future__ import annotations

import io
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from frod.provenance.git import git, git_text

HASHED = {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": os.devnull}
"""Environment in which objects are what their hashes say: no clone brings what `git replace` or a graft puts there."""
NO_COMMANDS = {"core.fsmonitor": "false", "core.hooksPath": os.devnull, "log.showSignature": "false"}
"""Settings under which git runs nothing that a checkout's own .git/config names."""
COMMIT = re.compile(r"[0-9a-f]{40,64}")


def take_as_hashed() -> None:
    """From here on, have git take objects for what their hashes say, and run no command of the checkout's own."""
    if HASHED.items() <= os.environ.items():
        return
    os.environ.update(HASHED)
    first = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    for number, (name, value) in enumerate(NO_COMMANDS.items(), first):
        os.environ.update({f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value})
    os.environ["GIT_CONFIG_COUNT"] = str(first + len(NO_COMMANDS))


def has(commit: str) -> bool:
    """Whether git has a commit, by its full hash."""
    # What a record says is no more than a claim: git is given nothing that it might take for an option.
    return bool(COMMIT.fullmatch(commit)) and git("cat-file", "-e", f"{commit}^{{commit}}") is not None


def unpacked(commit: str, paths: Iterable[str], folder: Path) -> Path | None:
    """Folder below `folder` with those of the paths that a commit has; None where git does not have the commit."""
    # Not by `git archive`, which leaves out and alters what .gitattributes says (export-ignore, export-subst).
    listing = ("ls-tree", "-r", "-z", f"{commit}^{{commit}}", "--", *(f"./{path}" for path in paths))
    listed = git_text(*listing) if COMMIT.fullmatch(commit) else None
    if listed is None and not has(commit):
        return None
    tree = folder / commit
    tree.mkdir(exist_ok=True)
    lines = [entry.split("\t", 1) for entry in (listed or "").split("\0") if entry]
    entries = [(*facts.split(), name) for facts, name in lines]
    named = [
        (digest, name) for mode, _, digest, name in entries if mode.startswith("100") and ".." not in Path(name).parts
    ]
    for (_, name), content in zip(named, _blobs([digest for digest, _ in named])):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    return tree


def _blobs(digests: list[str]) -> Iterator[bytes]:
    """The contents of files, by git's own hashes of them."""
    asked = "".join(f"{digest}\n" for digest in digests).encode()
    done = subprocess.run(["git", "cat-file", "--batch"], input=asked, capture_output=True, check=True)
    answers = io.BytesIO(done.stdout)
    for _ in digests:
        size = int(answers.readline().split()[2])
        yield answers.read(size)
        answers.read(1)  # the end of the line


def is_whole() -> bool:
    """Whether this clone has what its origin has: it is neither shallow nor of one branch alone."""
    if git_text("rev-parse", "--is-shallow-repository") != "false":
        return False
    fetched = git_text("config", "--get-regexp", r"^remote\..*\.fetch$")
    return not fetched or "refs/heads/*:" in fetched


def is_reached(commit: str) -> bool:
    """Whether a branch, a tag or the checkout leads to a commit; a clone does not get another."""
    of_head = git("merge-base", "--is-ancestor", commit, "HEAD") is not None
    named = ("refs/heads", "refs/tags", "refs/remotes")
    return of_head or bool(git_text("for-each-ref", "--count=1", f"--contains={commit}", *named))


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
