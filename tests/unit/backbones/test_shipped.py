"""What the package ships is what the recipes of the registry give, to the bit, and nothing damaged is handed out."""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from frod import backbones, numerics
from frod.backbones import shipped
from frod.backbones.registry import BackboneSpec
from frod.cli.backbone import backbone
from frod.files import sha256
from frod.pipeline.load import check_file, load_workflow, spec_of_backbone

ROOT = Path(__file__).parents[3]
BOTH = pytest.mark.parametrize("name", shipped.NAMES)
PORTABLE = {numerics.VARIABLE: "portable", **numerics.PORTABLE}


def digests(folder):
    """sha256 of all that a training writes; what else source.json says may differ."""
    return {path.name: sha256(path) for path in folder.iterdir() if path.name != "source.json"}


def environment(cache):
    return {**os.environ, **PORTABLE, "FROD_CACHE": str(cache)}


@cache
def machine():
    """What a process with portable numerics on one thread says of this machine."""
    code = (
        "import json, torch; torch.set_num_threads(1); from frod.provenance import records;"
        "print(json.dumps(records.machine(records.environment())))"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **PORTABLE}, capture_output=True, check=True)
    return json.loads(done.stdout)


@BOTH
def test_the_workflow_asks_for_the_shipped_recipe_and_another_one_is_trained(name):
    """`make ship` writes recipes and weights again where the registry's entry has changed."""
    _, models, tasks = load_workflow(check_file(ROOT / "params.yaml"), ROOT)
    spec = json.loads(json.dumps(spec_of_backbone(name, models, tasks, 0)))
    assert shipped.find(spec) == shipped.FOLDER / name
    assert shipped.find(spec_of_backbone(name, models, tasks, 1)) is None, "of another split"
    for change in (
        lambda one: one["backbone"]["source"].update(seed=1),
        lambda one: one["backbone"]["source"]["settings"].update(steps=801),
        lambda one: one["task"]["train"].update(rows=100),
        lambda one: one.update(name="another"),
    ):
        other = json.loads(json.dumps(spec))
        change(other)
        assert shipped.find(other) is None


@BOTH
def test_the_recipe_gives_the_shipped_bytes(name, tmp_path):
    made = shipped.recipe(name)
    if reason := numerics.comparable(made["machine"], machine()):
        pytest.skip(f"the same bits cannot be expected of this machine: {reason}")
    spec, out = json.dumps(made["spec"]), tmp_path / name
    command = [sys.executable, "-m", "frod", "backbone", "--train", "--spec", spec, "--out", out]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=True)
    assert "pre-training step" in done.stderr
    assert digests(out) == digests(shipped.FOLDER / name)
    assert (out / "source.json").read_bytes() == (shipped.FOLDER / name / "source.json").read_bytes()


@BOTH
def test_without_training_the_same_files_come_and_say_where_from(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FROD_CACHE", str(tmp_path / "cache"))
    backbone(json.dumps(shipped.recipe(name)["spec"]), tmp_path / name)
    assert "the weights that the package ships" in capsys.readouterr().out
    assert digests(tmp_path / name) == digests(shipped.FOLDER / name)
    theirs, ours = (json.loads((at / name / "source.json").read_text()) for at in (shipped.FOLDER, tmp_path))
    assert ours["source"].startswith("shipped with frod, pre-trained by ")
    assert {key for key in theirs if theirs[key] != ours[key]} == {"source", "digest"}
    assert ours["licence"] == "Apache-2.0" and ours["pretraining"]["data_sha256"]
    assert backbones.load(tmp_path / name, num_classes=3, problem="classification", seed=0)
    assert not (tmp_path / "cache").exists()


@BOTH
@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "source.json"])
def test_a_changed_byte_or_a_missing_file_is_refused_in_one_line(name, file, tmp_path):
    spec = BackboneSpec.model_validate(shipped.recipe(name)["spec"]["backbone"])
    shutil.copytree(shipped.FOLDER / name, tmp_path / "shipped")
    content = bytearray((tmp_path / "shipped" / file).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "shipped" / file).write_bytes(content)
    for damage in (lambda: None, (tmp_path / "shipped" / file).unlink):
        damage()
        with pytest.raises(ValueError, match=rf"{file}\b.*install the package again") as caught:
            backbones.materialise(name, spec, tmp_path / "out", pretrained=tmp_path / "shipped")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()


def test_a_suite_s_own_model_can_have_a_pretraining_seed_of_its_own(tmp_path, monkeypatch):
    """It learns from the same split under another seed; null is the split's, as before there was the field."""
    monkeypatch.setenv("FROD_CACHE", str(tmp_path / "cache"))
    facts = {}
    for seed in (None, 0, 7):
        spec = shipped.recipe("digit_vit")["spec"]
        spec["name"] = "small"
        spec["backbone"]["source"] |= {
            "seed": seed,
            "settings": {"steps": 2, "batch_size": 8, "lr": 1e-3, "weight_decay": 0},
        }
        backbone(json.dumps(spec), tmp_path / "small")
        facts[seed] = json.loads((tmp_path / "small" / "source.json").read_text())
    assert facts[None]["files"] == facts[0]["files"] != facts[7]["files"]
    assert [facts[seed]["revision"] for seed in (None, 0, 7)] == ["seed 0", "seed 0", "seed 7"]
    assert len({one["pretraining"]["data_sha256"] for one in facts.values()}) == 1
