"""Git, asked for what it has."""

import os
import subprocess
from pathlib import Path


def git(*arguments: str, cwd: Path | None = None) -> bytes | None:
    """Output of a git command; None where it fails, as outside of a checkout, or git is not installed."""
    # A status must not take the index lock from a commit that runs at the same time.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=cwd, env=environment, capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None


def git_text(*arguments: str, cwd: Path | None = None) -> str | None:
    """The same as text, without the end of the line."""
    found = git(*arguments, cwd=cwd)
    return None if found is None else found.decode("utf-8", "replace").strip()
