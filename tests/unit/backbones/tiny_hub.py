"""Models of the paper's kinds and of others in a few thousand weights, laid out as on the Hub, and their entries."""

import functools
import json
from pathlib import Path

REVISION = "0123456789abcdef0123456789abcdef01234567"
WORDS = ["[UNK]", "a", "bb", "ccc", "dddd", "</s>"]
TEXT_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
PADDED = {"vocab_size": len(WORDS) + 1, "pad_token_id": 6}
UNPADDED = {"vocab_size": len(WORDS), "eos_token_id": 5}


def write_tokenizer(folder: Path, **special) -> None:
    """A tokenizer of whole words without a padding token, as Llama 2's is, unless `special` names one."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = WORDS + [word for word in special.values() if word not in WORDS]
    model = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=model, unk_token="[UNK]", eos_token="</s>", **special)
    tokenizer.save_pretrained(folder)


DISTIL = {"dim": 16, "hidden_dim": 24, "n_layers": 2, "n_heads": 2}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16, "bos_token_id": 5}
# Models of text: class and configuration, of transformers. GPT-2 is the body alone, as the Hub's gpt2: names begin with
# the block list.
TEXTS = {
    "llama": ("LlamaForCausalLM", "LlamaConfig", SMALL | UNPADDED | {"bos_token_id": None, "num_key_value_heads": 2}),
    "roberta": ("RobertaForMaskedLM", "RobertaConfig", SMALL | PADDED | {"max_position_embeddings": 40}),
    "bert": ("BertModel", "BertConfig", SMALL | PADDED),
    "distilbert": ("DistilBertForMaskedLM", "DistilBertConfig", DISTIL | PADDED),
    "deberta": ("DebertaV2ForMaskedLM", "DebertaV2Config", SMALL | PADDED),
    "gpt2": ("GPT2Model", "GPT2Config", GPT2 | UNPADDED),
}


def write_text(kind: str, folder: Path, model: str | None = None, **changes):
    """A model of text, of another class where it is named, and its tokenizer."""
    import torch
    import transformers

    torch.manual_seed(1)
    usual, config, sizes = TEXTS[kind]
    made = getattr(transformers, model or usual)(getattr(transformers, config)(**(sizes | changes)))
    made.save_pretrained(folder)
    write_tokenizer(folder, **({"pad_token": "<pad>"} if "pad_token_id" in sizes else {}))
    return made


def write_vit(folder: Path) -> None:
    """transformers writes it under the names of its older versions, as the Hub's files have them."""
    import torch
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(1)
    ViTModel(ViTConfig(image_size=16, patch_size=8, **SMALL)).save_pretrained(folder)
    preprocessor = {"do_resize": True, "resample": 2, "size": {"height": 16, "width": 16}}
    preprocessor |= {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))


def clip():
    """All of a CLIP, by transformers."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(1)
    vision, text = {"image_size": 16, "patch_size": 8}, {"vocab_size": 10, "max_position_embeddings": 8}
    return CLIPModel(CLIPConfig(vision_config=SMALL | vision, text_config=SMALL | text, projection_dim=8)).eval()


CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def write_clip(folder: Path) -> None:
    clip().save_pretrained(folder)
    preprocessor = {"do_resize": True, "resample": 3, "size": 20, "do_center_crop": True, "crop_size": 16}
    preprocessor |= {"image_mean": CLIP_MEAN, "image_std": CLIP_STD}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))


def write_timm_clip(folder: Path) -> None:
    """The same CLIP under OpenAI's names, with the config that timm's repository has: GELU, and nine tenths."""
    from safetensors.torch import save_file

    weights = openai_names(clip().state_dict())
    save_file({k: v.contiguous().clone() for k, v in weights.items()}, folder / "open_clip_model.safetensors")
    inputs = {"input_size": [3, 16, 16], "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center"}
    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "mlp_ratio": 1.5}
    config = {"architecture": "vit_base_patch32_clip_224", "num_classes": 8, "num_features": 16}
    config |= {"global_pool": "token", "model_args": sizes}
    config["pretrained_cfg"] = inputs | {"mean": CLIP_MEAN, "std": CLIP_STD, "classifier": "head"}
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


WRITERS = {kind: functools.partial(write_text, kind) for kind in TEXTS}
WRITERS |= {"clip": write_clip, "timm_clip": write_timm_clip, "vit": write_vit}
IMAGES = {"clip", "timm_clip", "vit"}


def entry(kind: str, **changes) -> dict:
    """The registry's entry of a tiny model in mirror/models/someone/KIND."""
    source: dict = {"hub": f"someone/{kind}@{REVISION}"}
    if kind in ("llama", "roberta"):
        source["files"] = TEXT_FILES
    if kind == "timm_clip":
        source["files"] = ["config.json", "open_clip_model.safetensors"]
        source["config"] = {"architecture": "vit_base_patch32_clip_quickgelu_224", "pretrained_cfg": {"crop_pct": 0.8}}
    return {
        "title": kind,
        "library": "timm" if kind == "timm_clip" else "transformers",
        "licence": "none",
        **({} if kind in IMAGES else {"max_length": 12}),
        "source": source,
    } | changes


def pretrained(library: str, how: str, architecture: str, arguments: dict, *, data: str, more=None, **settings) -> dict:
    """The registry's entry of a model that is pre-trained here."""
    source = {"pretraining": how, "data": data, "settings": {"weight_decay": 0.0} | settings}
    source |= {"architecture": {"name": architecture, "arguments": arguments}} | (more or {})
    entry = {"title": "tiny", "library": library, "licence": "none", "source": source}
    return entry | ({"max_length": 12} if library == "transformers" else {})


def tiny_vit(*, steps=1, batch_size=4, lr=0.001, **arguments) -> dict:
    """The entry of a vision transformer of timm's for images of 8 x 8 pixels."""
    sizes = {"img_size": 8, "patch_size": 4, "in_chans": 1, "embed_dim": 8, "depth": 1, "num_heads": 2} | arguments
    settings = {"steps": steps, "batch_size": batch_size, "lr": lr}
    return pretrained("timm", "rotation", "vit_tiny_patch16_224", sizes, data="digits", **settings)
