"""The shared basis of a whole model: how it is extracted, what identifies the model, and its form on disk.

A basis depends on the pretrained weights alone, so it is computed once per model and serves all tasks, sparse rates,
seeds and adapters. V is rounded to float32, the format on disk, *before* anything is derived from it: a basis that has
just been extracted and the same one loaded from a file are equal bit for bit.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from frod.method import decomposition
from frod.method.identity import describe, file_sha256, model_hash, update, weight_of
from frod.method.targets import Targets, canonical_names, find, resolve

ALGORITHM_VERSION = 1
TENSORS = "basis.safetensors"
MANIFEST = "manifest.json"

# lambda_0 below this share of the layer's largest is what rounding V to float32 leaks into unused columns.
STORED_CUTOFF = 1e-6


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


@dataclass(kw_only=True, eq=False)
class Basis:
    """The shared bases of a model; made by `extract_basis` or `Basis.load`.

    Attributes
    ----------
    categories : dict of str to CategoryBasis
    model_hash : str
        `model_hash` of the model it was taken from.
    targets : tuple of str, or str
        What was asked for: name suffixes or one regular expression.
    ridge : float
    algorithm_version : int
    """

    categories: dict[str, CategoryBasis]
    model_hash: str
    targets: tuple[str, ...] | str
    ridge: float
    algorithm_version: int = ALGORITHM_VERSION

    def tensors(self) -> dict[str, Tensor]:
        """All tensors under the names they have on disk."""
        named: dict[str, Tensor] = {}
        for name, category in self.categories.items():
            named[f"V/{name}"] = category.V
            named[f"V_inv_t/{name}"] = category.V_inv_t
            named |= {f"lambda_0/{layer}": values for layer, values in category.lambda_0.items()}
        return named

    def digest(self) -> str:
        """Identify the content: sha256 over model, ridge, version and all tensors. Adapters name the basis by it."""
        digest = hashlib.sha256(f"{self.model_hash} {self.ridge!r} {self.algorithm_version}".encode())
        for name, tensor in sorted(self.tensors().items()):
            update(digest, name, tensor)
        return digest.hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `basis.safetensors` and `manifest.json` into the directory `path`, each whole or not at all."""
        directory = Path(path)
        directory.mkdir(parents=True, exist_ok=True)
        temporary = directory / f".{TENSORS}.{os.getpid()}"
        save_file({name: tensor.contiguous() for name, tensor in self.tensors().items()}, temporary)
        manifest = {
            "algorithm_version": self.algorithm_version,
            "model_hash": self.model_hash,
            "targets": self.targets if isinstance(self.targets, str) else list(self.targets),
            "ridge": self.ridge,
            "digest": self.digest(),
            "files": {TENSORS: file_sha256(temporary)},
            "categories": {
                name: {"n": category.n, "layers": {k: list(v) for k, v in category.layers.items()}, **category.facts}
                for name, category in self.categories.items()
            },
        }
        temporary.replace(directory / TENSORS)
        temporary = directory / f".{MANIFEST}.{os.getpid()}"
        temporary.write_text(json.dumps(manifest, indent=2) + "\n")
        temporary.replace(directory / MANIFEST)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Basis":
        """Read a basis back, checking it against its manifest.

        Raises
        ------
        ValueError
            If the directory holds no basis, one of another version, or tensors other than the manifest's.
        """
        directory = Path(path)
        if not (directory / MANIFEST).is_file():
            raise ValueError(f"path={str(directory)!r} holds no {MANIFEST}: not a basis. Make one with extract_basis.")
        manifest = json.loads((directory / MANIFEST).read_text())
        if manifest["algorithm_version"] != ALGORITHM_VERSION:
            raise ValueError(
                f"{directory}: the basis has algorithm_version {manifest['algorithm_version']}, this code has "
                f"{ALGORITHM_VERSION}. Extract it again."
            )
        found, expected = file_sha256(directory / TENSORS), manifest["files"][TENSORS]
        if found != expected:
            raise ValueError(
                f"{directory / TENSORS} is not the file its manifest describes: sha256 {found}, manifest {expected}. "
                "It was changed or cut short; extract the basis again."
            )
        tensors = load_file(directory / TENSORS)
        targets = manifest["targets"]
        return cls(
            categories={name: _category(name, entry, tensors) for name, entry in manifest["categories"].items()},
            model_hash=manifest["model_hash"],
            targets=targets if isinstance(targets, str) else tuple(targets),
            ridge=manifest["ridge"],
        )


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


def extract_basis(
    model: nn.Module,
    targets: Targets = None,
    *,
    ridge: float = 1e-3,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> Basis:
    """Decompose the target weights of a model, category by category.

    Parameters
    ----------
    model : nn.Module
        The pretrained model; it is only read.
    targets : list of str, str, or None
        Which layers: see `frod.method.targets.find`.
    ridge : float
        pi in T = mean_i (Q_i^T Q_i + pi I)^-1.
    dtype : torch.dtype
        Working precision, float64 or float32. What is kept is float32.
    device : torch.device, optional
        Where to compute; by default where each weight is.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    Basis

    Raises
    ------
    ValueError
        For targets that match nothing or cannot be adapted, weights on the meta device, or with NaN in them.
    """
    if dtype not in (torch.float64, torch.float32):
        raise ValueError(f"dtype={dtype} is too coarse to decompose in; use torch.float64 or torch.float32.")
    if getattr(model, "_frod", None) is not None:
        raise ValueError("the model has a FRoD adapter; its basis is that of the model before it was attached.")
    categories = find(model, targets)
    canonical = canonical_names(name for layers in categories.values() for name in layers)
    result: dict[str, CategoryBasis] = {}
    with torch.no_grad(), _reporter(progress, len(categories)) as report:
        for category, layers in categories.items():
            report(category)
            named = {canonical[name]: layer for name, layer in layers.items()}
            result[category] = _extract_category(named, ridge=ridge, dtype=dtype, device=device)
    return Basis(
        categories=result,
        model_hash=model_hash(model, canonical),
        targets=resolve(model, targets),
        ridge=ridge,
    )


def _extract_category(
    layers: dict[str, nn.Module], *, ridge: float, dtype: torch.dtype, device: torch.device | str | None
) -> CategoryBasis:
    weights = {name: _reader(layer, device) for name, layer in layers.items()}
    shared = decomposition.shared_basis(list(weights.values()), ridge=ridge, dtype=dtype)
    V = shared.V.to(torch.float32).to(dtype)
    V_inv = torch.linalg.inv(V)
    refine = decomposition.needs_refinement(V, V_inv)
    lambda_0: dict[str, Tensor] = {}
    error = 0.0
    for name, weight in weights.items():
        W = weight()
        B = decomposition.coordinates(W, V, V_inv.T, refine=refine)
        _, values = decomposition.split(B, cutoff=STORED_CUTOFF)
        lambda_0[name] = values.to("cpu", torch.float32)
        U, values = decomposition.split(B, lambda_=lambda_0[name])
        error = max(error, decomposition.reconstruction_error(W, U, values, V))
    return CategoryBasis(
        V=V.to("cpu", torch.float32).contiguous(),
        V_inv_t=V_inv.T.to("cpu", torch.float32).contiguous(),
        lambda_0=lambda_0,
        layers={name: describe(layer) for name, layer in layers.items()},
        facts={
            "rank": shared.rank,
            "largest_reconstruction_error": error,
            "condition_number": decomposition.condition_number(V, V_inv),
        },
    )


def _reader(layer: nn.Module, device: torch.device | str | None) -> Callable[[], Tensor]:
    W = weight_of(layer)
    if W.is_meta:
        raise ValueError("the model is on the meta device and has no weights to decompose; load the weights first.")
    return lambda: W if device is None else W.to(device)


def _reporter(progress: bool, total: int) -> Any:
    from contextlib import contextmanager

    @contextmanager
    def show() -> Any:
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), disable=not progress, transient=True) as bar:
            task = bar.add_task("shared basis", total=total)
            done = 0

            def report(category: str) -> None:
                nonlocal done
                bar.update(task, description=f"shared basis: {category}", completed=done)
                done += 1

            yield report

    return show()
