"""One suite with several bases of a model, lambda or S alone, and a pattern's seed: run, audited, replayed, packed.

The audit also finds a method's settings changed behind a run.
"""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from alterations import audit, audited, change, kept
from projects import checkout
from safetensors import safe_open

RUNS, REPORT, BASES = Path("results/tiny/digits/digit_vit"), Path("reports/tiny"), Path("data/bases/digit_vit")
SUITE = """\
title: Ablation
description: What of FRoD does what.
rates_chosen: by hand, for tests
seeds: [0]
training: { epochs: 1, batch_size: 32, max_train: 128 }
methods:
  full_ft: {}
  frod: { sparse_rate: 0.02 }
  scale: { kind: frod, sparse_rate: 0, label: lambda only }
  rotation: { kind: frod, sparse_rate: 0.02, freeze: [scale], label: S only }
  svd: { kind: frod, sparse_rate: 0.02, basis: { kind: layer_svd }, label: SVD }
  drawn: { kind: frod, sparse_rate: 0.02, basis: { kind: random }, pattern_seed: 3, label: random }
  ridge: { kind: frod, sparse_rate: 0.02, basis: { ridge: 1.0 }, label: ridge 1 }
  lora: { match_parameters: rotation }
experiments:
  - tasks: [digits]
    backbone: digit_vit
    rates:
      full_ft: { lr: 1.0e-3, lr_head: 1.0e-3 }
      frod: &both { lr_scale: 1.0e-2, lr_rotation: 1.0e-2, lr_head: 1.0e-3 }
      scale: { lr_scale: 1.0e-2, lr_head: 1.0e-3 }
      rotation: { lr_rotation: 1.0e-2, lr_head: 1.0e-3 }
      svd: *both
      drawn: *both
      ridge: *both
      lora: { lr: 1.0e-3, lr_head: 1.0e-3 }
"""
# n of the targets q, k, v, proj and fc1 is 64, of fc2 256, each in four blocks.
SCALE, ROTATION = 4 * (5 * 64 + 256), 4 * (5 * int(0.02 * 64**2) + int(0.02 * 256**2))


@pytest.fixture(scope="module")
def ablated(tmp_path_factory):
    """A project in which the suite has run to its report."""
    folder = tmp_path_factory.mktemp("ablated")
    project = checkout(folder / "project", folder / "cache", SUITE)
    project.start()
    project.snakemake()
    return project


def record(project, method):
    return json.loads(project.path(RUNS / method / "seed-0/record.json").read_text())


def adapter(project, method):
    """Names of the tensors in the file, and its settings."""
    with safe_open(project.path(RUNS / method / "seed-0/adapter.safetensors"), "pt") as file:
        return list(file.keys()), json.loads(file.metadata()["frod"])


def test_each_basis_is_made_once_and_each_run_reads_its_own(ablated):
    folders = {"ridge-0.001-float64": 3, "ridge-1-float64": 1, "layer_svd": 1, "random": 1}
    assert sorted(path.name for path in ablated.path(BASES).iterdir()) == sorted(folders)
    methods = ("frod", "scale", "rotation", "svd", "drawn", "ridge")
    read = [path for method in methods for path in record(ablated, method)["inputs"] if "/bases/" in path]
    assert {name: read.count(f"{BASES}/{name}/manifest.json") for name in folders} == folders
    manifests = {name: json.loads(ablated.path(BASES / name / "manifest.json").read_text()) for name in folders}
    said = {name: (manifest["kind"], manifest["ridge"]) for name, manifest in manifests.items()}
    assert said == {
        "ridge-0.001-float64": ("shared", 1e-3),
        "ridge-1-float64": ("shared", 1.0),
        "layer_svd": ("layer_svd", None),
        "random": ("random", None),
    }
    assert len(manifests["layer_svd"]["categories"]) == 24


def test_what_is_frozen_is_not_counted_not_saved_and_has_no_rate(ablated):
    counts = {"frod": SCALE + ROTATION, "scale": SCALE, "rotation": ROTATION, "svd": SCALE + ROTATION}
    for method, expected in counts.items():
        assert record(ablated, method)["parameters"]["trainable"]["adapter"] == expected, method
    assert record(ablated, "lora")["parameters"]["matched"]["target"] == ROTATION
    names, settings = adapter(ablated, "rotation")
    assert settings["freeze"] == ["scale"] and not any(name.endswith(".scale") for name in names)
    assert "freeze" not in adapter(ablated, "frod")[1]
    assert adapter(ablated, "drawn")[1]["seed"] == 3 != adapter(ablated, "svd")[1]["seed"]


def test_the_report_says_what_each_is_and_which_basis_is_open(ablated):
    page = ablated.path(REPORT / "index.html").read_text()
    for said in ("freeze scale", "basis kind layer_svd", "basis kind random", "kind shared, ridge 1", "pattern_seed 3"):
        assert said in page, said
    assert page.count("Any rotation would be a shared basis of blocks.*.mlp.fc2") == 1
    assert record(ablated, "frod")["parameters"]["degenerate"] == ["blocks.*.mlp.fc2"]
    assert "degenerate" not in record(ablated, "svd")["parameters"]


def test_the_audit_agrees_and_runs_replay_bit_for_bit(ablated):
    findings = audit(ablated.folder, REPORT)
    assert [finding.line() for finding in findings.found] == []
    assert findings.checked["bases"] == 4
    for method in ("rotation", "svd", "drawn"):
        status, said = ablated.frod("replay", RUNS / method / "seed-0")
        assert status == 0 and "the same, bit for bit" in said, said


@pytest.mark.parametrize(
    ("old", "new", "method"),
    [
        ("freeze: [scale]", "freeze: []", "rotation"),
        ("pattern_seed: 3", "pattern_seed: 4", "drawn"),
        ("basis: { ridge: 1.0 }", "basis: { ridge: 2.0 }", "ridge"),
    ],
)
def test_settings_that_were_changed_afterwards_are_findings(ablated, old, new, method):
    suite = "workflow/suites/tiny.yaml"
    with kept(ablated.folder, suite):
        ablated.edit(suite, old, new)
        if method == "rotation":  # whose lambda would have a rate then
            ablated.edit(suite, "rotation: { lr_rotation", "rotation: { lr_scale: 1.0e-2, lr_rotation")
        assert any(
            line.startswith(f"{RUNS}/{method}/seed-0/record.json: spec") for line in audited(ablated.folder, REPORT)
        )


def test_a_basis_of_another_kind_and_a_basis_that_is_not_told_as_open_are_findings(ablated):
    told = f"{RUNS}/frod/seed-0/record.json"
    with kept(ablated.folder, str(BASES), told):
        shutil.rmtree(ablated.path(BASES / "layer_svd"))
        shutil.copytree(ablated.path(BASES / "random"), ablated.path(BASES / "layer_svd"))
        change(ablated.path(told), lambda content: content["parameters"].pop("degenerate"))
        lines = audited(ablated.folder, REPORT)
    assert any(line.startswith(f"{BASES}/layer_svd/manifest.json: kind") for line in lines)
    assert any(line.startswith(f"{told}: parameters.degenerate, by the basis") for line in lines)


def test_nothing_is_left_to_do_and_the_crate_has_all_bases(ablated):
    assert "Nothing to be done" in ablated.snakemake()
    assert ablated.frod("crate", REPORT, "--out", "ablation.zip")[0] == 0
    with zipfile.ZipFile(ablated.path("ablation.zip")) as packed:
        names = packed.namelist()
    for name in ("ridge-0.001-float64", "ridge-1-float64", "layer_svd", "random"):
        assert any(f"{BASES}/{name}/manifest.json" in packed for packed in names), name
