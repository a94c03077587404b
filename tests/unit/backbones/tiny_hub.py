"""Models of the paper's three kinds in a few thousand weights, laid out as on the Hub, and their registry entries."""

from pathlib import Path

REVISION = "0123456789abcdef0123456789abcdef01234567"
WORDS = ["[UNK]", "a", "bb", "ccc", "dddd", "</s>"]
TEXT_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
IMAGE_FILES = ["config.json", "model.safetensors", "preprocessor_config.json"]


def write_tokenizer(folder: Path, **special) -> None:
    """A tokenizer of whole words without a padding token, as Llama 2's is, unless `special` names one."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = WORDS + [word for word in special.values() if word not in WORDS]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="</s>", **special).save_pretrained(
        folder
    )


def write_llama(folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=5,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    write_tokenizer(folder)


def write_roberta(folder: Path) -> None:
    import torch
    from transformers import RobertaConfig, RobertaForMaskedLM

    torch.manual_seed(1)
    config = RobertaConfig(
        vocab_size=len(WORDS) + 1,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=40,
        pad_token_id=6,
    )
    RobertaForMaskedLM(config).save_pretrained(folder)
    write_tokenizer(folder, pad_token="<pad>")


def write_clip(folder: Path) -> None:
    import json

    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(1)
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        vision_config=vision | {"image_size": 16, "patch_size": 8},
        text_config=vision | {"vocab_size": 10, "max_position_embeddings": 8},
        projection_dim=8,
    )
    CLIPModel(config).save_pretrained(folder)
    preprocessor = {
        "crop_size": 16,
        "do_center_crop": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": 20,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))


WRITERS = {"llama": write_llama, "roberta": write_roberta, "clip": write_clip}


def entry(kind: str, **changes) -> dict:
    """The registry's entry of a tiny model in mirror/models/someone/KIND."""
    images = kind == "clip"
    return {
        "title": kind,
        "library": "transformers",
        "licence": "none",
        **({} if images else {"max_length": 12}),
        "source": {"hub": f"someone/{kind}@{REVISION}", "files": IMAGE_FILES if images else TEXT_FILES},
    } | changes
