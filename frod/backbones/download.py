"""Where a backbone's files come from: a mirror folder, the Hub at a pinned commit, a Python package, or a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from frod import hub
from frod.backbones import onnx_weights
from frod.backbones.registry import Hub, Local, Onnx, Package
from frod.files import sha256, verify
from frod.provenance import artefacts

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
REFUSED = (*PICKLES, ".h5", ".msgpack", ".npz", ".py")


def from_hub(name: str, source: Hub, out: Path, *, mirror: Path | None) -> str | None:
    """Copy the needed files of a Hub model into `out`, from mirror/models/ID where that is, else from the Hub.

    Returns the commit; None where a mirror does not say. ValueError where the model cannot be reached, its licence is
    not accepted, or a file is missing or not the mirror's own.
    """
    patterns = [*source.needed, *source.optional]
    found = hub.snapshot("models", source.id, source.revision, patterns, mirror, gated=source.gated)
    copy_matching(found.folder, source.needed, out, what=f"{name} ({source.id})", optional=source.optional)
    for path in sorted(out.iterdir()) if found.sha256 else ():
        found.check(path.name, sha256(path))
    return found.revision


def lacking_package(source: Any) -> str | None:
    """Say which package a source needs that is not installed; None where it needs none, or all are there."""
    needed = {source.package: "comes with"} if isinstance(source, Package) else {}
    if isinstance(source, Onnx):
        needed["onnx"] = "is read by"
    for one, use in needed.items():
        if not any(metadata.distributions(name=one)):
            how = "; install it by '.[onnx]'" if isinstance(source, Onnx) else ""
            return f"{use} the package {one}, which is not installed{how}"
    return None


def package(name: str, source: Package, out: Path) -> str:
    """Copy a package's weights into `out`, their sha256 checked; return the package's version."""
    if (lacking := lacking_package(source)) is not None:
        raise ValueError(f"backbone {name} {lacking}")
    distribution = metadata.distribution(source.package)
    folder = Path(str(distribution.locate_file(source.folder)))
    if not isinstance(source, Onnx):
        copy_matching(folder, source.files, out, what=f"package {source.package}")
    verify(folder, source.sha256, by="the registry", remedy=f"install the package {source.package} again")
    if isinstance(source, Onnx):
        onnx_weights.convert(folder / source.files[0], source, out)
    return distribution.version


def shipped(source: Path, out: Path) -> dict[str, Any]:
    """Copy weights that this package ships into `out`, their sha256 checked; return what source.json says.

    ValueError where a file is missing or changed.
    """
    remedy = "install the package again, or train the model by its recipe: `frod backbone --train`"
    facts = artefacts.read_manifest(source / "source.json", remedy=remedy)
    verify(source, facts["files"], by="source.json", remedy=remedy)
    for file in facts["files"]:
        shutil.copyfile(source / file, out / file)
    made = facts["source"].removeprefix("pre-trained here ")
    return {"source": f"shipped with frod, pre-trained {made}"} | {k: facts[k] for k in ("revision", "pretraining")}


def local(name: str, source: Local, out: Path) -> None:
    """Copy a folder in the library's own layout into `out`; pickles and code in it are left behind."""
    if not source.path.is_dir():
        raise ValueError(f"backbone {name}: path {source.path} is not a folder")
    files = [p.name for p in sorted(source.path.iterdir()) if p.is_file() and p.suffix not in REFUSED]
    copy_matching(source.path, files, out, what=f"{name} ({source.path})")


def copy_matching(folder: Path, needed: Iterable[str], out: Path, *, what: str, optional: Iterable[str] = ()) -> None:
    """Copy the files that match; ValueError where a needed pattern matches none, or where there are no safetensors."""
    found = {pattern: sorted(p for p in folder.glob(pattern) if p.is_file()) for pattern in needed}
    missing = [pattern for pattern, files in found.items() if not files]
    files = [file for files in found.values() for file in files]
    pickles = sorted(file.name for file in folder.glob("*") if file.suffix in PICKLES)
    if pickles and not any(folder.glob("*.safetensors")):
        raise ValueError(
            f"{what}: {folder} has no safetensors, only {', '.join(pickles)}; a pickle may run code and is not read. "
            "Where you trust it, write it again: AutoModel.from_pretrained(FOLDER).save_pretrained(NEW), and name NEW"
        )
    if missing:
        raise ValueError(f"{what}: {folder} has no {', '.join(missing)}; the copy is not whole")
    if not any(file.suffix == ".safetensors" for file in files):
        raise ValueError(f"{what}: {folder} has no safetensors, and other weights are not read")
    for file in [*files, *(p for pattern in optional for p in folder.glob(pattern))]:
        shutil.copyfile(file, out / file.name)  # of a link (the Hub's cache has links) the file itself
        _check_whole(file)


def _check_whole(file: Path) -> None:
    """Raise ValueError where a file cannot be read to its end as what it is: the libraries' own errors name no file."""
    if file.suffix == ".safetensors":
        artefacts.read_header(file, remedy="fetch it again")
    elif file.suffix == ".json":
        try:
            json.loads(file.read_text("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file}: cannot be read, it was changed or cut short ({error}); fetch it again") from None
