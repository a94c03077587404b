"""Models of the paper's kinds and of others in a few thousand weights, laid out as on the Hub, and their entries."""

from pathlib import Path

REVISION = "0123456789abcdef0123456789abcdef01234567"
WORDS = ["[UNK]", "a", "bb", "ccc", "dddd", "</s>"]
TEXT_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


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


def write_body(folder: Path, name: str, config, **special) -> None:
    """A transformers model of the class of this name, and a tokenizer."""
    import torch
    import transformers

    torch.manual_seed(1)
    getattr(transformers, name)(config).save_pretrained(folder)
    write_tokenizer(folder, **special)


SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
PADDED = {"vocab_size": len(WORDS) + 1, "pad_token_id": 6}


def write_bert(folder: Path) -> None:
    from transformers import BertConfig

    write_body(folder, "BertModel", BertConfig(**SMALL, **PADDED), pad_token="<pad>")


def write_distilbert(folder: Path) -> None:
    from transformers import DistilBertConfig

    config = DistilBertConfig(dim=16, hidden_dim=24, n_layers=2, n_heads=2, **PADDED)
    write_body(folder, "DistilBertForMaskedLM", config, pad_token="<pad>")


def write_deberta(folder: Path) -> None:
    from transformers import DebertaV2Config

    write_body(folder, "DebertaV2ForMaskedLM", DebertaV2Config(**SMALL, **PADDED), pad_token="<pad>")


def write_gpt2(folder: Path) -> None:
    """The body alone, as the Hub's gpt2: names begin with the block list."""
    from transformers import GPT2Config

    config = GPT2Config(
        n_embd=16, n_layer=2, n_head=2, n_positions=16, vocab_size=len(WORDS), bos_token_id=5, eos_token_id=5
    )
    write_body(folder, "GPT2Model", config)


def write_vit(folder: Path) -> None:
    """transformers writes it under the names of its older versions, as the Hub's files have them."""
    import json

    import torch
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(1)
    ViTModel(ViTConfig(image_size=16, patch_size=8, **SMALL)).save_pretrained(folder)
    preprocessor = {
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": 2,
        "size": {"height": 16, "width": 16},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))


def clip():
    """All of a CLIP, by transformers."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(1)
    config = CLIPConfig(
        vision_config=SMALL | {"image_size": 16, "patch_size": 8},
        text_config=SMALL | {"vocab_size": 10, "max_position_embeddings": 8},
        projection_dim=8,
    )
    return CLIPModel(config).eval()


CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def write_clip(folder: Path) -> None:
    import json

    clip().save_pretrained(folder)
    preprocessor = {
        "crop_size": 16,
        "do_center_crop": True,
        "do_resize": True,
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
        "resample": 3,
        "size": 20,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))


def write_timm_clip(folder: Path) -> None:
    """The same CLIP under OpenAI's names, with the config that timm's repository has: GELU, and nine tenths."""
    import json

    from safetensors.torch import save_file

    weights = openai_names(clip().state_dict())
    save_file({k: v.contiguous().clone() for k, v in weights.items()}, folder / "open_clip_model.safetensors")
    config = {
        "architecture": "vit_base_patch32_clip_224",
        "num_classes": 8,
        "num_features": 16,
        "global_pool": "token",
        "model_args": {
            "img_size": 16,
            "patch_size": 8,
            "embed_dim": 16,
            "depth": 2,
            "num_heads": 2,
            "mlp_ratio": 1.5,
        },
        "pretrained_cfg": {
            "input_size": [3, 16, 16],
            "interpolation": "bicubic",
            "crop_pct": 0.9,
            "crop_mode": "center",
            "mean": CLIP_MEAN,
            "std": CLIP_STD,
            "classifier": "head",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))


def openai_names(weights: dict) -> dict:
    """A CLIP's weights as OpenAI published them: the vision tower under `visual`, q, k and v in one weight."""
    import torch

    def of(tower, name):
        return weights[f"{tower}_model.{name}"]

    out = {
        "logit_scale": weights["logit_scale"],
        "text_projection": weights["text_projection.weight"].T,
        "token_embedding.weight": of("text", "embeddings.token_embedding.weight"),
        "positional_embedding": of("text", "embeddings.position_embedding.weight"),
        "visual.proj": weights["visual_projection.weight"].T,
        "visual.class_embedding": of("vision", "embeddings.class_embedding"),
        "visual.conv1.weight": of("vision", "embeddings.patch_embedding.weight"),
        "visual.positional_embedding": of("vision", "embeddings.position_embedding.weight"),
    }
    norms = {"ln_final": ("text", "final_layer_norm")}
    norms |= {"visual.ln_pre": ("vision", "pre_layrnorm"), "visual.ln_post": ("vision", "post_layernorm")}
    for kind in ("weight", "bias"):
        out |= {f"{name}.{kind}": of(tower, f"{theirs}.{kind}") for name, (tower, theirs) in norms.items()}
        for tower, prefix in (("text", ""), ("vision", "visual.")):
            for i in range(2):
                block, theirs = f"{prefix}transformer.resblocks.{i}", f"encoder.layers.{i}"
                qkv = [of(tower, f"{theirs}.self_attn.{role}_proj.{kind}") for role in "qkv"]
                out[f"{block}.attn.in_proj_{kind}"] = torch.cat(qkv)
                out[f"{block}.attn.out_proj.{kind}"] = of(tower, f"{theirs}.self_attn.out_proj.{kind}")
                out[f"{block}.ln_1.{kind}"] = of(tower, f"{theirs}.layer_norm1.{kind}")
                out[f"{block}.ln_2.{kind}"] = of(tower, f"{theirs}.layer_norm2.{kind}")
                out[f"{block}.mlp.c_fc.{kind}"] = of(tower, f"{theirs}.mlp.fc1.{kind}")
                out[f"{block}.mlp.c_proj.{kind}"] = of(tower, f"{theirs}.mlp.fc2.{kind}")
    return out


WRITERS = {
    "llama": write_llama,
    "roberta": write_roberta,
    "bert": write_bert,
    "distilbert": write_distilbert,
    "deberta": write_deberta,
    "gpt2": write_gpt2,
    "clip": write_clip,
    "timm_clip": write_timm_clip,
    "vit": write_vit,
}
IMAGES = {"clip", "timm_clip", "vit"}


def entry(kind: str, **changes) -> dict:
    """The registry's entry of a tiny model in mirror/models/someone/KIND."""
    source: dict = {"hub": f"someone/{kind}@{REVISION}"}
    if kind in ("llama", "roberta"):
        source["files"] = TEXT_FILES
    if kind == "timm_clip":
        source["files"] = ["config.json", "open_clip_model.safetensors"]
        source["config"] = {
            "architecture": "vit_base_patch32_clip_quickgelu_224",
            "pretrained_cfg": {"crop_pct": 0.8},
        }
    return {
        "title": kind,
        "library": "timm" if kind == "timm_clip" else "transformers",
        "licence": "none",
        **({} if kind in IMAGES else {"max_length": 12}),
        "source": source,
    } | changes
