"""A basis that its weights do not give is found, though its manifest agrees with it; an honest one is not."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from safetensors.torch import load_file, save_file

sys.path.append(str(Path(__file__).parents[1] / "runs"))

import small_runs

import frod
from frod import backbones
from frod.audit import bases
from frod.audit.findings import Findings
from frod.config import Extraction
from frod.files import sha256
from frod.provenance import artefacts

USUAL = Extraction(kind="shared", ridge=1e-3, dtype="float64", targets=None)
QUERY = "layer.*.attention.self.query"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folder of a small backbone by its architecture."""
    made = {architecture: tmp_path_factory.mktemp(architecture) for architecture in ("timm", "bert", "gpt2")}
    # Of two layers T has the eigenvectors of each, whatever the ridge.
    with mock.patch.dict(small_runs.TEXT, num_hidden_layers=3):
        for architecture, folder in made.items():
            small_runs.write(architecture, folder)
    return made


def extracted(folder, settings):
    arguments = settings.model_dump() | {"dtype": getattr(torch, settings.dtype)}
    return frod.extract_basis(backbones.skeleton(folder), **arguments, progress=False, checkpoint=folder)


def check(basis, path, folder, settings=USUAL):
    """Findings of a basis that is stored at a path."""
    basis.save(path)
    study = SimpleNamespace(bases={path: ("model", settings)}, model=lambda backbone: folder)
    findings = Findings()
    bases.check(study, findings)
    assert findings.checked["bases"] == 1
    return findings


def lines(findings, path):
    return [finding.line().removeprefix(f"{path}/manifest.json: ") for finding in findings.found]


def rewritten(folder, there, alter):
    """The backbone with other weights."""
    there.mkdir()
    for path in folder.iterdir():
        (there / path.name).write_bytes(path.read_bytes())
    weights = load_file(folder / "model.safetensors")
    alter(weights)
    save_file(weights, there / "model.safetensors", {"format": "pt"})
    source = json.loads((there / "source.json").read_text())
    source["files"]["model.safetensors"] = sha256(there / "model.safetensors")
    artefacts.write_manifest(there / "source.json", source)
    return there


@pytest.mark.parametrize("architecture", ["timm", "bert", "gpt2"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ridge": 1.0},
        {"ridge": 1e-6},
        {"dtype": "float32"},
        {"kind": "layer_svd", "ridge": None},
        {"kind": "random", "ridge": None},
    ],
    ids=str,
)
def test_an_honest_basis_has_no_findings(folders, tmp_path, architecture, changes):
    folder, settings = folders[architecture], USUAL.model_copy(update=changes)
    findings = check(extracted(folder, settings), tmp_path / "basis", folder, settings)
    assert lines(findings, tmp_path / "basis") == [] and not findings.unchecked


def ill_conditioned(weights):
    """Directions of the input that hardly matter, and some that do not at all."""
    scale = torch.logspace(0, -5, 32)
    scale[-4:] = 0
    for name in weights:
        if name.endswith(("query.weight", "key.weight")):
            weights[name] = (weights[name] * scale) @ torch.linalg.qr(torch.randn(32, 32)).Q


def one_rotated(weights):
    """Layers that are equal up to a rotation of their outputs."""
    one = weights["encoder.layer.0.attention.self.query.weight"]
    for i in (1, 2):
        weights[f"encoder.layer.{i}.attention.self.query.weight"] = torch.linalg.qr(torch.randn(32, 32)).Q @ one


def zeros(weights):
    """A layer through which nothing can be changed: no basis has it."""
    weights["encoder.layer.1.attention.self.query.weight"].zero_()


@pytest.mark.parametrize("alter", [ill_conditioned, one_rotated, zeros])
@pytest.mark.parametrize("targets", [None, ["layer.0.output.dense", "query"]])  # the one alone: fewer rows than columns
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_neither_has_one_of_weights_that_are_hard_to_decompose(folders, tmp_path, alter, targets):
    torch.manual_seed(0)
    folder = rewritten(folders["bert"], tmp_path / "model", alter)
    settings = USUAL.model_copy(update={"targets": targets})
    findings = check(extracted(folder, settings), tmp_path / "basis", folder, settings)
    assert lines(findings, tmp_path / "basis") == []


def test_a_basis_that_has_a_layer_less_though_its_weight_is_not_zero(folders, tmp_path):
    basis = extracted(folders["bert"], USUAL.model_copy(update={"targets": ["key", "value"]}))
    found = lines(check(basis, tmp_path / "basis", folders["bert"]), tmp_path / "basis")
    assert any(line.startswith("layers, by the weights.layer.*.") and "query" in line for line in found)


def with_query(basis, **changes):
    """The basis with another category of the queries, all that is stated of it made to fit."""
    category = basis.categories[QUERY]
    facts = category.facts | changes.pop("facts", {})
    return replace(basis, categories=basis.categories | {QUERY: replace(category, facts=facts, **changes)})


def rates_times(basis, factor, column=slice(None)):
    """A rescaling of FRoD's rates that no record names."""
    lambda_0 = {name: values.clone() for name, values in basis.categories[QUERY].lambda_0.items()}
    for values in lambda_0.values():
        values[column] *= factor
    return with_query(basis, lambda_0=lambda_0)


def permuted(basis):
    """Other places of S: the columns of V in another order, with what belongs to them."""
    query = basis.categories[QUERY]
    lambda_0 = {name: values.flip(0) for name, values in query.lambda_0.items()}
    return with_query(basis, V=query.V.flip(1), V_inv_t=query.V_inv_t.flip(1), lambda_0=lambda_0)


def ungrouped(basis):
    """A V for each layer, under the name of the shared one."""
    query = basis.categories[QUERY]
    of_layers = {
        name: replace(
            query,
            V=query.V.clone(),
            V_inv_t=query.V_inv_t.clone(),
            layers={name: size},
            lambda_0={name: query.lambda_0[name]},
        )
        for name, size in query.layers.items()
    }
    return replace(basis, categories={n: c for n, c in basis.categories.items() if n != QUERY} | of_layers)


def other(basis, kind, ridge):
    """Another basis, relabelled: what the manifest says is what is planned."""
    return replace(basis, kind=kind, ridge=ridge)


RANDOM, SVD = ({"kind": kind, "ridge": None} for kind in ("random", "layer_svd"))
LOOSE = {"condition_number": 1e30}  # by which a basis states how exact it can be
FORGED = {
    "a random basis as the shared one": (RANDOM, {}, lambda basis: other(basis, "shared", 1e-3), f"V of {QUERY}"),
    "the shared one as random": ({}, RANDOM, lambda basis: other(basis, "random", None), f"V of {QUERY}"),
    "singular vectors as the shared one": (
        SVD,
        {},
        lambda basis: other(basis, "shared", 1e-3),
        "layers, by the weights.layer.*",
    ),
    "another ridge": ({"ridge": 1.0}, {}, lambda basis: other(basis, "shared", 1e-3), f"V of {QUERY}"),
    "lambda_0 times 100": ({}, {}, lambda basis: rates_times(basis, 100), f"lambda_0 of {QUERY}"),
    "one of lambda_0 a tenth larger": ({}, {}, lambda basis: rates_times(basis, 1.1, 5), f"lambda_0 of {QUERY}"),
    "columns in another order": ({}, {}, permuted, f"V of {QUERY}"),
    "a V for each layer": ({}, {}, ungrouped, "layers, by the weights.layer.*"),
    "any rotation said to serve": (
        {},
        {},
        lambda basis: with_query(basis, facts={"degenerate": True}),
        f"V of {QUERY}",
    ),
    "an inverse of another V": (
        {},
        {},
        lambda basis: with_query(basis, V_inv_t=2 * basis.categories[QUERY].V_inv_t, facts=LOOSE),
        f"V_inv_t of {QUERY}",
    ),
    "a condition number": ({}, {}, lambda basis: with_query(basis, facts=LOOSE), f"condition_number of {QUERY}"),
    "noise that is trained on": (
        {},
        {},
        lambda basis: with_query(basis, facts={"solve": True}),
        f"categories.{QUERY}.solve: expected False, found True",
    ),
    "a coarser one": ({"dtype": "float32"}, {}, lambda basis: basis, f"categories.{QUERY}.dtype: expected float64"),
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_basis_whose_manifest_agrees_with_plan_and_tensors_is_held_against_the_weights(folders, tmp_path, forged):
    made, planned, forge, line = FORGED[forged]
    basis = extracted(folders["bert"], USUAL.model_copy(update=made))
    findings = check(forge(basis), tmp_path / "basis", folders["bert"], USUAL.model_copy(update=planned))
    found = lines(findings, tmp_path / "basis")
    assert any(one.startswith(line) for one in found), found


def test_large_models_are_not_decomposed_and_the_audit_says_so(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(bases, "CHEAP", 1e5)
    findings = check(extracted(folders["bert"], USUAL), tmp_path / "basis", folders["bert"])
    assert findings.found == [] and findings.unchecked["bases, by the weights"].endswith(": model/basis")


@pytest.mark.parametrize(("layers", "m", "n"), [(12, 384, 1536), (32, 11008, 4096)])
def test_which_models_are_large(layers, m, n):
    """The widest layers of DINOv2-small take a second, those of Llama-2-7B half an hour."""
    assert (layers * m * n**2 < bases.CHEAP / 10) == (n == 1536)
