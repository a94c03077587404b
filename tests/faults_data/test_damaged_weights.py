"""Weights of one's own, or of the Hub, that are not whole are refused in one line that names the file they are in."""

import json

import pytest
from safetensors.numpy import save

from frod.backbones import materialise
from frod.backbones.registry import BackboneSpec

CONFIG = json.dumps({"architecture": "vit_tiny_patch16_224", "pretrained_cfg": {}}).encode()
DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "garbage": lambda content: b"\xff\xfe" * len(content),
    "one bit": lambda content: bytes([content[0] ^ 1]) + content[1:],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_damaged_weights_are_named(tmp_path, name, damage):
    own = tmp_path / "own"
    own.mkdir()
    (own / "config.json").write_bytes(CONFIG)
    (own / "model.safetensors").write_bytes(save({}, {"format": "pt"}))
    (own / name).write_bytes(damage((own / name).read_bytes()))
    spec = {"title": "mine", "library": "timm", "licence": "mine", "source": {"path": str(own)}}
    with pytest.raises(ValueError, match=f"{own / name}: cannot be read, it was changed .*; fetch it again"):
        materialise("mine", BackboneSpec.model_validate(spec), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own"]


def test_a_configuration_of_nothing_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(save({}, {"format": "pt"}))
    spec = {"title": "mine", "library": "timm", "licence": "mine", "source": {"path": str(tmp_path)}}
    with pytest.raises(ValueError, match=r"config\.json: architecture: is missing; timm's save_for_hf writes it"):
        materialise("mine", BackboneSpec.model_validate(spec), tmp_path / "out")
