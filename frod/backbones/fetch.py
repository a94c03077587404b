"""Where a backbone's files come from: a mirror folder, the Hub at a pinned commit, a Python package, or a folder."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

from frod.backbones.registry import Hub, Local, Package
from frod.files import sha256

REFUSED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack", ".npz", ".py")


def hub(name: str, source: Hub, out: Path, *, mirror: Path | None) -> None:
    """Copy the needed files of a Hub model into `out`, from mirror/models/ID where that is, else from the Hub.

    Raises
    ------
    ValueError
        The model cannot be reached, its licence is not accepted, or a file is missing.
    """
    if mirror is not None and not mirror.is_dir():
        raise ValueError(f"paths.mirror (FROD_MIRROR): {mirror} is not a folder")
    folder = mirror / "models" / source.id if mirror is not None else None
    if folder is None or not folder.is_dir():
        folder = _download(name, source, mirror)
    copy_matching(folder, source.files, out, what=f"{name} ({source.id})")


def package(name: str, source: Package, out: Path) -> str:
    """Copy a package's weights into `out`, their sha256 checked; return the package's version."""
    try:
        distribution = metadata.distribution(source.package)
    except metadata.PackageNotFoundError:
        raise ValueError(f"backbone {name} comes with the package {source.package}, which is not installed") from None
    copy_matching(
        Path(str(distribution.locate_file(source.folder))), source.files, out, what=f"package {source.package}"
    )
    for file, expected in source.sha256.items():
        found = sha256(out / file)
        if found != expected:
            raise ValueError(
                f"backbone {name}: {file} of the package {source.package} has sha256 {found}, the registry says "
                f"{expected}; install the package anew"
            )
    return distribution.version


def local(name: str, source: Local, out: Path) -> None:
    """Copy a folder in the library's own layout into `out`; pickles and code in it are left behind."""
    if not source.path.is_dir():
        raise ValueError(f"backbone {name}: path {source.path} is not a folder")
    files = [p.name for p in sorted(source.path.iterdir()) if p.is_file() and p.suffix not in REFUSED]
    copy_matching(source.path, files, out, what=f"{name} ({source.path})")


def copy_matching(folder: Path, patterns: list[str], out: Path, *, what: str) -> None:
    """Copy the files that match; ValueError where a pattern matches none, or where there are no safetensors.

    A tokenizer.json holds all of a fast tokenizer: where there is one, the vocabulary files beside it may be missing.
    """
    found = {pattern: sorted(p for p in folder.glob(pattern) if p.is_file()) for pattern in patterns}
    whole_tokenizer = bool(found.get("tokenizer.json"))
    vocabulary = {"vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "special_tokens_map.json"}
    missing = [p for p, files in found.items() if not files and not (whole_tokenizer and p in vocabulary)]
    if missing:
        raise ValueError(f"{what}: {folder} has no {', '.join(missing)}; the copy is not whole")
    files = [file for files in found.values() for file in files]
    if not any(file.suffix == ".safetensors" for file in files):
        raise ValueError(f"{what}: {folder} has no safetensors; weights in pickle are not read")
    for file in files:
        shutil.copyfile(file, out / file.name)  # of a link (the Hub's cache has links) the file itself


def _download(name: str, source: Hub, mirror: Path | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    looked = f"not in the mirror {mirror}" if mirror else "no mirror is set"
    put = f"set paths.mirror (or FROD_MIRROR) to a folder that has models/{source.id}/"
    try:
        return Path(snapshot_download(source.id, revision=source.revision, allow_patterns=source.files))
    except GatedRepoError as error:
        raise ValueError(
            f"backbone {name}: {source.id} is gated. Accept its licence on https://huggingface.co/{source.id}, then "
            f"log in with `hf auth login` or set HF_TOKEN; or {put}"
        ) from error
    # OSError: no connection (of whatever HTTP library), no local copy while offline.
    except (HfHubHTTPError, OSError) as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        gated = " It is gated: it also needs its licence accepted and HF_TOKEN set." if source.gated else ""
        raise ValueError(
            f"backbone {name}: {source.id} at {source.revision[:12]}: {looked}, and the Hub does not give it "
            f"({type(error).__name__}: {reason}). Go online, or {put}.{gated}"
        ) from error
