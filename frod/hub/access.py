"""Files of the Hub: from a mirror folder laid out like it, else from the Hub itself at one commit."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from frod import files
from frod.config.schema import inside
from frod.provenance.artefacts import first_line

Kind = Literal["models", "datasets"]
RECORD = "mirror.json"


@dataclass(frozen=True)
class Snapshot:
    """The files of a repository at one commit."""

    folder: Path
    """Files lie in it under their names on the Hub."""
    revision: str | None
    """The commit; None where the files are from a mirror that does not say."""
    sha256: dict[str, str] = field(default_factory=dict)
    """By name, of the files that a mirror's record names; of the Hub's own nothing is known."""

    def check(self, name: str, sha256: str) -> None:
        """Hold a file's sha256 against the mirror's record, where it has one; ValueError where they differ."""
        if told := files.mismatch(self.folder / name, sha256, self.sha256.get(name, sha256), by=RECORD):
            raise ValueError(f"{told}; run `frod fetch` on the mirror again, which brings just such files")


def snapshot(
    kind: Kind, id: str, revision: str | None, patterns: list[str], mirror: Path | None, *, gated: bool = False
) -> Snapshot:
    """Find the files of a repository, fetching them where they are not here yet.

    The Hub's library itself tries again, for half a minute, where the network or the Hub fails in a way that may pass.

    Parameters
    ----------
    kind : {"models", "datasets"}
    id : str
        Owner and name on the Hub.
    revision : str or None
        Commit; None: the newest, which the result names.
    patterns : list of str
        Of the files to fetch; what a mirror holds is not held against them.
    mirror : Path or None
        Folder with KIND/ID/, looked up before the Hub. Its mirror.json, where it has one, names the commit.
    gated : bool
        Whether the Hub wants a licence accepted; only for the error's words.

    Raises
    ------
    ValueError
        One line: the mirror is no folder or holds another commit; the repository or commit does not exist, is gated,
        or cannot be reached; the disk is full.
    """
    if mirror is not None and not mirror.is_dir():
        raise ValueError(f"paths.mirror (FROD_MIRROR): {mirror} is not a folder")
    if mirror is not None and (mirror / kind / id).is_dir():
        entry = recorded(mirror).get(f"{kind}/{id}", {})
        found = entry.get("revision")
        if found and revision and found != revision:
            name = named(kind, id, revision)
            raise ValueError(f"{name}: the mirror {mirror} holds commit {found[:12]}; run `frod fetch` on it again")
        known = {name: facts["sha256"] for name, facts in entry.get("files", {}).items()}
        return Snapshot(mirror / kind / id, found, known)
    from huggingface_hub import snapshot_download

    looked = f"not in the mirror {mirror}" if mirror else "no mirror is set"
    with explained(kind, id, revision, looked=looked, gated=gated):
        folder = Path(
            snapshot_download(id, repo_type=kind.removesuffix("s"), revision=revision, allow_patterns=patterns)
        )
    return Snapshot(folder, revision or folder.name)  # the Hub's cache names its folders by commit


def recorded(mirror: Path) -> dict[str, Any]:
    """Return the repositories of a mirror's mirror.json by KIND/ID; empty where it has none."""
    path = mirror / RECORD
    if not path.exists():
        return {}
    try:
        repositories = json.loads(path.read_text("utf-8"))["repositories"]
        for name, entry in repositories.items():
            inside(name)
            for file, facts in entry.setdefault("files", {}).items():
                inside(file), facts["sha256"], facts["bytes"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: is not what `frod fetch` writes ({type(error).__name__}: {error}); delete it, and run `frod "
            "fetch` again where there is a network"
        ) from None
    return repositories


def named(kind: Kind, id: str, revision: str | None) -> str:
    """A repository in words."""
    what = {"models": "model", "datasets": "data set"}[kind]
    return f"{what} {id}" + (f" at {revision[:12]}" if revision else "")


@contextmanager
def explained(kind: Kind, id: str, revision: str | None, *, gated: bool, looked: str | None = None) -> Iterator[None]:
    """Turn what the Hub's library raises into one line that says what to do.

    `looked` says where else the files were looked for; None while a mirror is being filled.
    """
    from huggingface_hub import errors

    name = named(kind, id, revision)
    page = f"https://huggingface.co/{'datasets/' if kind == 'datasets' else ''}{id}"
    log_in = "log in with `hf auth login` or set HF_TOKEN"
    try:
        yield
    except errors.GatedRepoError as error:
        raise ValueError(
            f"{name}: is gated. Accept its licence on {page}, then {log_in}; or set FROD_MIRROR to a folder that has "
            f"{kind}/{id}"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ValueError(f"{name}: the Hub has no such repository, or it is private: then {log_in}") from error
    except errors.RevisionNotFoundError as error:
        raise ValueError(f"{name}: the Hub has no such commit of it; see {page}/commits/main") from error
    # HTTPError is that of whatever HTTP library the Hub's uses; OSError: no copy here while offline, or a full disk.
    except (errors.HTTPError, OSError, errors.XetDownloadError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise ValueError(
                f"{name}: the disk is full; free some of it, or set HF_HOME or --out to another"
            ) from error
        failed = f"{type(error).__name__}: {first_line(error)}"
        if looked is None:
            raise ValueError(f"{name}: the Hub does not give it ({failed})") from error
        licence = f" It is gated: accept its licence on {page} and {log_in}." if gated else ""
        raise ValueError(
            f"{name}: {looked}, and the Hub does not give it ({failed}). Where there is a network, run "
            f"`frod fetch --suite SUITE --out DIR`, bring DIR here and set FROD_MIRROR=DIR.{licence}"
        ) from error
