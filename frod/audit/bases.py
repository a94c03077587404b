"""Bases: each is of these weights and of the planned settings, and what the definition of its kind makes of them.

To decompose the weights again would take thirty times as long, and another machine finds other digits. What defines a
basis is quick to hold, within what storing V in float32 loses. With B_i = W_i V^-T:

* lambda_0 are the lengths of B_i's columns;
* kind "shared": sum_i B_i^T B_i = I, which is V V^T = H, and sum_i (B_i^T B_i + ridge I)^-1 = N E^T T E is diagonal
  and ascending; where T is a multiple of the identity, V^T V is diagonal and descending;
* right singular vectors: V^T V = I, and sum_i B_i^T B_i is diagonal and descending;
* kind "random" is drawn again.

Shapes: m out_features, n in_features, N layers, k probes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from frod import Basis, backbones
from frod.audit.data import BASIS, MODEL, remedy
from frod.audit.findings import Findings
from frod.audit.study import Study
from frod.config import Extraction
from frod.method.alternatives import drawn
from frod.method.basis import EIGENVECTOR_BOUND, CategoryBasis
from frod.method.decomposition import PROBES
from frod.method.extraction import STORED_CUTOFF
from frod.method.identity import describe, is_zero, weight_of, weights_hash
from frod.method.shards import Stored, bind
from frod.method.targets import canonical_names, find

CHEAP = 2e11
"""Sum of m n^2 over a basis's layers, up to which it is held against the weights: some 20 seconds of a processor."""
LOOSEST = 0.05
"""Share beyond which rounding explains nothing, however badly V is conditioned: it was never seen above 0.002."""

Layers = dict[str, dict[str, Stored]]  # category -> canonical name -> weight


def check(study: Study, findings: Findings) -> None:
    """Hold every basis against plan and weights; of large models only the settings and the weights' hash."""
    large: list[str] = []
    for folder, (backbone, settings) in study.bases.items():
        with findings.guard(folder / BASIS, "the basis"):
            if not check_one(folder / BASIS, study.model(backbone), settings, findings):
                large.append(f"{backbone}/{folder.name}")
            findings.checked["bases"] += 1
    if large:
        findings.unchecked["bases, by the weights"] = f"models too large to do it in seconds: {', '.join(large)}"


def check_one(path: Path, model: Path, settings: Extraction, findings: Findings) -> bool:
    """Hold the basis of a manifest against the folder of its model; returns whether V and lambda_0 could be, too."""
    manifest = json.loads(path.read_text("utf-8"))
    findings.equal(path, "kind", settings.kind, manifest.get("kind", "shared"), remedy=remedy(path))
    findings.equal(path, "ridge", settings.ridge, manifest["ridge"], remedy=remedy(path))
    findings.equal(path, "part_of", None, manifest["part_of"], remedy=remedy(path))
    for name, facts in manifest["categories"].items():
        dtype = facts.get("dtype", "float64")
        if dtype != "float64":  # in which a category is computed where float32 does not serve
            findings.equal(path, f"categories.{name}.dtype", settings.dtype, dtype, remedy=remedy(path))
        # What only a basis from peft has: columns of U that are only noise are trained on, too.
        findings.equal(path, f"categories.{name}.solve", False, facts.get("solve", False), remedy=remedy(path))
    basis = None
    with findings.guard(path.with_name("basis.safetensors"), "the basis"):
        basis = Basis.load(path.parent)
        findings.equal(path, "digest, by basis.safetensors", basis.digest(), manifest["digest"], remedy=remedy(path))
        basis.check()
    with findings.guard(model / MODEL, "that the basis is of these weights"):
        there = {name: entry["layers"] for name, entry in manifest["categories"].items()}
        layers = layers_of(model, settings, {name for entry in there.values() for name in entry})
        weights = weights_hash({name: weight for category in layers.values() for name, weight in category.items()})
        findings.equal(path, "model_hash, by the weights", weights, manifest["model_hash"], remedy=remedy(path))
        here = {name: {n: describe(w.target) for n, w in category.items()} for name, category in layers.items()}
        same = findings.equal(path, "layers, by the weights", here, there, remedy=remedy(path))
        if sum(m * n**2 for category in here.values() for m, n, _ in category.values()) > CHEAP:
            return False
        if basis is not None and same:
            with findings.guard(path, "the basis, by the weights,"):
                _check_numbers(path, basis, layers, settings, findings)
    return True


def layers_of(model: Path, settings: Extraction, there: Collection[str]) -> Layers:
    """The layers that a basis of a model has, `there` by its manifest; weights of zeros are left out of it.

    The files are read for zeros where the manifest has fewer layers than the model, as `frod.attach` looks for them.
    """
    found = find(backbones.skeleton(model), settings.targets)
    weights = bind({name: target for layers in found.values() for name, target in layers.items()}, model)
    if len(there) < len(weights):
        weights = {name: weight for name, weight in weights.items() if not is_zero(weight)}
    names = canonical_names(weights)
    kept = {c: {names[n]: weights[n] for n in layers if n in weights} for c, layers in found.items()}
    if settings.kind == "layer_svd":
        return {name: {name: weight} for layers in kept.values() for name, weight in layers.items()}
    return {category: layers for category, layers in kept.items() if layers}


def _check_numbers(path: Path, basis: Basis, layers: Layers, settings: Extraction, findings: Findings) -> None:
    # Whoever alters a basis alters its digest, and with it the probes: nothing can be made to fit them.
    random = np.random.default_rng(int(basis.digest(), 16))
    for name, category in basis.categories.items():
        z = random.standard_normal((category.n, PROBES))
        found, bound = errors(name, category, layers[name], settings, z)
        for what, error in found.items():
            if not error <= bound:
                wanted, there = f"what follows, within {bound:.1e}", f"off by {error:.1e}"
                findings.add(path, f"{what} of {name}, by the weights", wanted, there, remedy=remedy(path))


@dataclass(frozen=True, kw_only=True)
class Symmetric:
    """What is asked of a symmetric matrix A (n, n): its diagonal (n,), and A z (n, k) of normal numbers z (n, k)."""

    diagonal: np.ndarray
    times_z: np.ndarray

    def off(self, z: np.ndarray, diagonal: np.ndarray | None = None) -> float:
        """How far A is from a diagonal, its own or this one: the Frobenius norm of the rest as a share, estimated."""
        wanted = self.diagonal if diagonal is None else diagonal
        rest = np.linalg.norm(self.times_z - wanted[:, None] * z) / np.sqrt(z.shape[1])
        return float(rest / np.linalg.norm(wanted))


def errors(
    name: str, category: CategoryBasis, weights: Mapping[str, Stored], settings: Extraction, z: np.ndarray
) -> tuple[dict[str, float], float]:
    """How far what a category holds is from its definition, as shares, and the most that rounding explains."""
    V, V_inv_t = (tensor.double().numpy() for tensor in (category.V, category.V_inv_t))
    condition = float(np.linalg.norm(V, 1) * np.linalg.norm(V_inv_t.T, 1))
    apart, grams, inverses, rows = [0.0], [], [], 0
    for layer, weight in weights.items():
        B = weight_of(weight).double().numpy() @ V_inv_t
        grams.append(_gram(B, z))
        inverses += [] if settings.ridge is None else [_inverse(B, settings.ridge, z)]
        lengths = np.sqrt(grams[-1].diagonal)
        apart.append(float(abs(lengths - category.lambda_0[layer].numpy()).max() / lengths.max()))
        rows += len(B)
    H, V_V = _sum(grams), _gram(V, z)
    used = H.diagonal > 0.5  # of "shared": in a null direction it is next to 0, else 1
    if settings.kind == "random":
        wanted = drawn(name, category.V).V.numpy()
        of_V = [float(np.linalg.norm(V - wanted) / np.linalg.norm(wanted))]
    elif settings.kind == "layer_svd" or rows < category.n:
        of_V = [V_V.off(z, np.ones(category.n)), H.off(z), _falls(-H.diagonal)]
    elif not used.any():
        of_V = [math.inf]
    else:
        T = _sum(inverses)
        of_V = [H.off(z, used.astype(float))]
        if category.degenerate or len(weights) == 1 or rows == category.n:
            flat = np.where(used, T.diagonal[used].mean(), T.diagonal)
            of_V += [T.off(z, flat), V_V.off(z), _falls(-V_V.diagonal * used)]
        else:
            of_V += [T.off(z), _falls(T.diagonal)]
    found = {
        "lambda_0": float(np.max(apart)),
        "V": float(np.max(of_V)),
        "V_inv_t": float(np.linalg.norm(V_inv_t.T @ (V @ z) - z) / np.linalg.norm(z)),
        "condition_number": abs(category.facts.get("condition_number", 1.0) / condition - 1),
    }
    rounding = min(torch.finfo(torch.float32).eps * condition, LOOSEST)
    return found, STORED_CUTOFF + rounding + EIGENVECTOR_BOUND[settings.dtype]


def _gram(A: np.ndarray, z: np.ndarray) -> Symmetric:
    """A^T A."""
    return Symmetric(diagonal=(A * A).sum(0), times_z=A.T @ (A @ z))


def _inverse(B: np.ndarray, ridge: float, z: np.ndarray) -> Symmetric:
    """(B^T B + ridge I)^-1; for m < n it is by Woodbury (I - B^T (ridge I + B B^T)^-1 B) / ridge."""
    m, n = B.shape
    small = B @ B.T if m < n else B.T @ B
    small.flat[:: len(small) + 1] += ridge
    if m < n:
        Y = np.linalg.solve(small, B)
        return Symmetric(diagonal=(1 - (B * Y).sum(0)) / ridge, times_z=(z - B.T @ (Y @ z)) / ridge)
    inverse = np.linalg.inv(small)
    return Symmetric(diagonal=inverse.diagonal(), times_z=inverse @ z)


def _sum(parts: Sequence[Symmetric]) -> Symmetric:
    return Symmetric(
        diagonal=np.sum([part.diagonal for part in parts], axis=0),
        times_z=np.sum([part.times_z for part in parts], axis=0),
    )


def _falls(values: np.ndarray) -> float:
    """By how much values (n,) that should ascend fall, as a share of the largest."""
    return float((np.maximum.accumulate(values) - values).max() / abs(values).max())
