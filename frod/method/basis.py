"""The shared basis of a whole model: what it holds, what it is worth, and its form on disk.

A basis depends on the pretrained weights alone, so it is computed once per model and serves all tasks, sparse rates,
seeds and adapters. V is rounded to float32, the format on disk, *before* anything is derived from it: a basis that has
just been extracted and the same one loaded from a file are equal bit for bit.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from frod.method.decomposition import probes
from frod.method.identity import file_sha256, update
from frod.method.saving import write_tensors

ALGORITHM_VERSION = 2
TENSORS = "basis.safetensors"
MANIFEST = "manifest.json"

# What a basis has to keep to: the largest relative error of W_i = U_i diag(lambda_i) V^T ...
RECONSTRUCTION_BOUND = 1e-5
# ... the backward error of the eigenvectors by the arithmetic of the decomposition ...
EIGENVECTOR_BOUND = {"float64": 1e-9, "float32": 1e-3}
# ... and how far the stored V^-T may be off V's inverse, in units of float32's eps times V's condition number.
INVERSE_BOUND = 10.0


@contextmanager
def without_autocast() -> Iterator[None]:
    """Keep a surrounding autocast from rounding what has to be exact."""
    with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
        yield


def check_is_basis(basis: object) -> None:
    """Refuse what is no basis, such as the folder of one."""
    if not isinstance(basis, Basis):
        raise ValueError(f"basis is {basis!r}; frod.extract_basis(model) or frod.Basis.load(folder) gives one.")


@dataclass(kw_only=True, eq=False)
class CategoryBasis:
    """One category: V and V^-T of shape (n, n), and lambda_0 (n,) per layer (canonical names), all float32 on the CPU.

    `layers` keeps (m, n, dtype) per layer to compare with a model; `facts` is what the manifest says about quality.
    """

    V: Tensor
    V_inv_t: Tensor
    lambda_0: dict[str, Tensor]
    layers: dict[str, tuple[int, int, str]]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Width of the input of the category's layers."""
        return self.V.shape[0]

    @property
    def degenerate(self) -> bool:
        """Whether T is a multiple of the identity."""
        return bool(self.facts.get("degenerate", False))  # older ones do not say

    def check(self, name: str) -> None:
        """Hold the errors that the manifest states, and the stored V^-T, against their bounds; ValueError if beyond."""
        dtype = self.facts.get("dtype", "float64")
        bounds = {
            "largest_reconstruction_error": RECONSTRUCTION_BOUND,
            "eigenvector_error": EIGENVECTOR_BOUND[dtype],
        }
        for fact, bound in bounds.items():
            if not self.facts.get(fact, 0.0) <= bound:
                raise ValueError(
                    f"category {name!r}: {fact} is {self.facts[fact]:.3g}, more than {bound:g}. Extract the basis again"
                    + (" with dtype=torch.float64." if dtype != "float64" else "; check the weights it is taken from.")
                )
        z = probes(self.n, self.V.device).float()
        with without_autocast():
            error = ((self.V_inv_t.T @ (self.V @ z) - z).norm() / z.norm()).item()
        bound = INVERSE_BOUND * torch.finfo(torch.float32).eps * self.facts.get("condition_number", 1.0)
        if not error <= bound:
            raise ValueError(
                f"category {name!r}: V and the inverse stored with it disagree by {error:.3g}, over {bound:.3g}: "
                "one of them was changed. Extract the basis again."
            )


@dataclass(kw_only=True, eq=False)
class Basis:
    """The shared bases of a model; made by `extract_basis` or `Basis.load`.

    Attributes
    ----------
    targets : tuple of str, or str
        What was asked for: name suffixes or one regular expression.
    ridge : float or None
        Of kind "shared".
    kind : str
        See `extract_basis`.
    part_of : tuple of str, or None
        Of a part: all categories of the model.
    """

    categories: dict[str, CategoryBasis]
    model_hash: str
    targets: tuple[str, ...] | str
    ridge: float | None
    kind: str = "shared"
    algorithm_version: int = ALGORITHM_VERSION
    part_of: tuple[str, ...] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Basis":
        """No copy: nobody changes a basis, and copies of an adapted model share it."""
        return self

    def tensors(self) -> dict[str, Tensor]:
        """All tensors under the names they have on disk."""
        named: dict[str, Tensor] = {}
        for name, category in self.categories.items():
            named[f"V/{name}"] = category.V
            named[f"V_inv_t/{name}"] = category.V_inv_t
            named |= {f"lambda_0/{layer}": values for layer, values in category.lambda_0.items()}
        return named

    def digest(self) -> str:
        """Identify the content: sha256 over model, ridge or kind, version and all tensors. Adapters name it by this."""
        made_by = repr(self.ridge) if self.kind == "shared" else self.kind
        digest = hashlib.sha256(f"{self.model_hash} {made_by} {self.algorithm_version}".encode())
        for name, tensor in sorted(self.tensors().items()):
            update(digest, name, tensor)
        return digest.hexdigest()

    @property
    def degenerate(self) -> list[str]:
        """Categories of several layers of which any rotation would be a basis; see `shared_basis` for what is taken."""
        return [n for n, category in self.categories.items() if category.degenerate and len(category.layers) > 1]

    def check(self) -> None:
        """`CategoryBasis.check` of all categories."""
        for name, category in self.categories.items():
            category.check(name)

    @classmethod
    def join(cls, parts: Sequence["Basis"]) -> "Basis":
        """Put the categories of one model together that were extracted apart, in one way, and all of them."""
        if not parts:
            raise ValueError("parts=[]: there is nothing to join.")
        first = parts[0]
        for part in parts[1:]:
            for key in ("model_hash", "targets", "kind", "ridge", "algorithm_version", "part_of"):
                if getattr(part, key) != getattr(first, key):
                    raise ValueError(f"parts differ in {key}: {getattr(first, key)!r} and {getattr(part, key)!r}.")
        found = {name: category for part in parts for name, category in part.categories.items()}
        expected = first.part_of or tuple(first.categories)
        if found.keys() != set(expected):
            raise ValueError(f"the parts hold {sorted(found)}, the model has {sorted(expected)}.")
        return replace(first, categories={name: found[name] for name in expected}, part_of=None)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `basis.safetensors` and `manifest.json` into the directory `path`, each whole or not at all."""
        directory = Path(path)
        write_tensors(directory / TENSORS, self.tensors())
        manifest: dict[str, Any] = {
            "algorithm_version": self.algorithm_version,
            "model_hash": self.model_hash,
            "targets": self.targets if isinstance(self.targets, str) else list(self.targets),
            "kind": self.kind,
            "ridge": self.ridge,
            "part_of": self.part_of,
            "digest": self.digest(),
            "files": {TENSORS: file_sha256(directory / TENSORS)},
            "categories": {
                name: {"n": category.n, "layers": {k: list(v) for k, v in category.layers.items()}, **category.facts}
                for name, category in self.categories.items()
            },
        }
        manifest["manifest_digest"] = _digest(manifest)
        temporary = directory / f".{MANIFEST}.{os.getpid()}"
        temporary.write_text(json.dumps(manifest, indent=2, allow_nan=False) + "\n")
        temporary.replace(directory / MANIFEST)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Basis":
        """Read a basis back; ValueError if there is none, of another version, or one that was changed or cut short."""
        directory = Path(path)
        if not (directory / MANIFEST).is_file():
            raise ValueError(f"path={str(directory)!r} holds no {MANIFEST}: not a basis. Make one with extract_basis.")
        manifest = _read_manifest(directory / MANIFEST)
        if manifest["algorithm_version"] != ALGORITHM_VERSION:
            raise ValueError(
                f"{directory}: the basis has algorithm_version {manifest['algorithm_version']}, this code has "
                f"{ALGORITHM_VERSION}. Extract it again."
            )
        tensors = directory / TENSORS
        if manifest.get("manifest_digest", "") not in ("", _digest(manifest)):  # older ones have none
            raise ValueError(
                f"{directory / MANIFEST} was changed: its content does not fit its digest; {_remedy(directory)}."
            )
        found, expected = file_sha256(tensors) if tensors.is_file() else "of no file", manifest["files"][TENSORS]
        if found != expected:
            raise ValueError(
                f"{tensors} is not the file its manifest describes: sha256 {found}, manifest {expected}. It was "
                f"changed or cut short; {_remedy(directory)}."
            )
        named = load_file(tensors)
        targets = manifest["targets"]
        return cls(
            categories={name: _category(name, entry, named) for name, entry in manifest["categories"].items()},
            model_hash=manifest["model_hash"],
            targets=targets if isinstance(targets, str) else tuple(targets),
            kind=manifest.get("kind", "shared"),  # older ones are
            ridge=manifest["ridge"],
            part_of=None if manifest["part_of"] is None else tuple(manifest["part_of"]),
        )


def _remedy(directory: Path) -> str:
    return f"extract the basis again (in the workflow: delete the folder {directory} and run again)"


def _digest(manifest: Mapping[str, Any]) -> str:
    """Hash of a manifest's content but for the hash in it."""
    content = {key: value for key, value in manifest.items() if key != "manifest_digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
        manifest["algorithm_version"], manifest["files"][TENSORS]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be read: {error!r}. It was changed or cut short; {_remedy(path.parent)}."
        ) from None
    return manifest


def _category(name: str, entry: dict[str, Any], tensors: Mapping[str, Tensor]) -> CategoryBasis:
    facts = {key: value for key, value in entry.items() if key not in ("n", "layers")}
    layers: dict[str, tuple[int, int, str]] = {
        k: (int(m), int(n), dtype) for k, (m, n, dtype) in entry["layers"].items()
    }
    return CategoryBasis(
        V=tensors[f"V/{name}"],
        V_inv_t=tensors[f"V_inv_t/{name}"],
        lambda_0={layer: tensors[f"lambda_0/{layer}"] for layer in layers},
        layers=layers,
        facts=facts,
    )
