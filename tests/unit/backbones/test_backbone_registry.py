"""The models are typed: a slip is an error with its name, and what is fetched is pinned."""

import re

import pytest
import yaml
from tiny_hub import entry

from frod.backbones import architecture, loading, registry
from frod.backbones.registry import BackboneSpec, Hub

MODELS = registry.load()


def test_the_smoke_models_and_the_papers_are_there():
    assert {"digit_vit", "minilm", "micro_llama", "clip_vit_b32", "roberta_large", "llama2_7b"} <= set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_an_entry_survives_json(name):
    assert BackboneSpec.model_validate_json(MODELS[name].model_dump_json()) == MODELS[name]


@pytest.mark.parametrize("name", [n for n, m in MODELS.items() if isinstance(m.source, Hub)])
def test_hub_models_are_pinned_and_fetch_no_pickle(name):
    source = MODELS[name].source
    assert re.fullmatch(r"[0-9a-f]{40}", source.revision)
    assert any(pattern.endswith(".safetensors") for pattern in source.files)
    assert not any(pattern.endswith((".bin", ".py", "*")) for pattern in source.files)


def test_timms_clip_is_told_from_its_config():
    """Its repository's config.json says GELU and a crop of nine tenths; OpenAI's has QuickGELU and no crop."""
    source = MODELS["clip_vit_b32_timm"].source
    assert source.config["architecture"] == "vit_base_patch32_clip_quickgelu_224"
    assert source.config["pretrained_cfg"] == {"crop_pct": 1.0}
    assert source.needed == ("config.json", "open_clip_model.safetensors")


def test_files_that_need_not_be_there():
    source = MODELS["roberta_large"].source
    assert source.needed == ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    assert source.optional == ("vocab.json", "merges.txt")  # tokenizer.json holds them
    usual = Hub(hub="someone/else")
    assert (usual.needed, usual.revision) == (("config.json", "model*.safetensors"), None)
    assert {"tokenizer.json", "preprocessor_config.json"} < set(usual.optional)


def test_lengths_are_those_of_the_released_settings():
    assert MODELS["roberta_large"].max_length == 256
    assert MODELS["llama2_7b"].max_length == 512
    assert MODELS["clip_vit_b32"].max_length is None


@pytest.mark.parametrize(
    ("name", "positions"),
    # RoBERTa's 514 count from behind the padding token; the others' are their configurations'.
    [("minilm", 512), ("micro_llama", 64), ("roberta_large", 512), ("llama2_7b", 4096), ("llama3_2_3b", 131072)],
)
def test_texts_are_no_longer_than_the_models_positions(name, positions):
    assert loading.positions(architecture.build(MODELS[name])) == positions >= MODELS[name].max_length


def test_all_models_of_text_are_held_against_their_positions():
    held = {"minilm", "micro_llama", "roberta_large", "llama2_7b", "llama3_2_3b"}
    assert {name for name, model in MODELS.items() if model.max_length} == held


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "red"}, "colour"),
        ({"library": "flax"}, "library"),
        ({"source": {"hub": "someone/llama@main", "files": ["config.json"]}}, "source.hub"),
        ({"library": "timm"}, "max_length"),
        ({"max_length": 0}, "max_length"),
    ],
)
def test_a_slip_is_named(tmp_path, changes, words):
    path = tmp_path / "registry.yaml"
    path.write_text(yaml.safe_dump({"mine": entry("llama", **changes)}))
    with pytest.raises(ValueError, match=rf"registry\.yaml: mine[.:](.|\n)*{re.escape(words)}"):
        registry.load(path)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("digit_vit", {"in_chans": 3}, "arguments.in_chans: is 3; pre-training sees images in grey: say in_chans: 1"),
        ("digit_vit", {"in_chans": None}, "arguments.in_chans: is None; "),  # timm's own default is 3
        ("digit_vit", {"img_size": [8, 8]}, "arguments.img_size: is [8, 8]; pre-training needs a whole number"),
        ("micro_llama", {"max_position_embeddings": None}, "arguments.max_position_embeddings: is None; "),
    ],
)
def test_a_model_that_cannot_be_pretrained_is_refused_before_any_job(name, changes, words):
    given = MODELS[name].model_dump(mode="json")
    given["source"]["architecture"]["arguments"] |= changes
    with pytest.raises(ValueError, match=re.escape(f"source.architecture.{words}")):
        BackboneSpec.model_validate(given)


def test_a_pretraining_is_of_one_library():
    given = MODELS["micro_llama"].model_dump(mode="json") | {"library": "timm", "max_length": None}
    with pytest.raises(ValueError, match="library: is timm; pre-training by next_word trains a model of transformers"):
        BackboneSpec.model_validate(given)
