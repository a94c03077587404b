"""Small random models of each architecture, and the known methods on them: the widths (32, feed-forward 64) suit every
method's defaults."""

import copy
import functools

import torch

import frod
from frod.config import Method
from frod.config.workflow import known_methods
from frod.training import methods

METHODS = {name: Method(**settings) for name, settings in known_methods().items()}
CLASSES = 3
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 50,
    "pad_token_id": 0,
    "num_labels": CLASSES,
}
CLIP_VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
HEADS = {
    "bert": ["classifier"],
    "roberta": ["classifier"],
    "clip": ["classifier"],
    "timm": ["head"],
    "llama": ["score"],
    "gpt2": ["score"],
}

# (m, n) of the target layers of one of the two blocks, written down from the settings above; a fused qkv is one layer.
SHAPES = {
    "bert": [(32, 32)] * 4 + [(64, 32), (32, 64)],
    "roberta": [(32, 32)] * 4 + [(64, 32), (32, 64)],
    "clip": [(32, 32)] * 4 + [(64, 32), (32, 64)],
    "timm": [(96, 32), (32, 32), (64, 32), (32, 64)],
    "llama": [(32, 32), (16, 32), (16, 32), (32, 32), (64, 32), (64, 32)],  # two heads, one of keys; no down_proj
    "gpt2": [(96, 32), (32, 32), (128, 32), (32, 128)],
}


def build(name):
    """A model in evaluation mode, the same every time."""
    return copy.deepcopy(_built(name))


def applied(architecture, method, seed=0, targets=None, model=None):
    """The model of an architecture, or another one, with a method, or one of the known ones by name."""
    model, method = model or build(architecture), METHODS[method] if isinstance(method, str) else method
    basis = _basis(architecture) if method.kind == "frod" else None
    methods.of_kind(method.kind).apply(model, method, targets=targets, head=HEADS[architecture], basis=basis, seed=seed)
    return model


@functools.cache
def _basis(architecture):
    return frod.extract_basis(build(architecture), progress=False)


@functools.cache
def _built(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return _build(name).eval()


def _build(name):
    import timm
    import transformers as t

    match name:
        case "bert":
            return t.BertForSequenceClassification(t.BertConfig(**TEXT))
        case "roberta":
            return t.RobertaForSequenceClassification(t.RobertaConfig(**TEXT))
        case "clip":
            vision = CLIP_VISION | {"image_size": 8, "patch_size": 4}
            config = t.CLIPConfig(vision_config=vision, text_config=CLIP_VISION | {"vocab_size": 10})
            config.num_labels = CLASSES
            return t.CLIPForImageClassification(config)
        case "timm":
            sizes = {"img_size": 8, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2, "mlp_ratio": 2}
            return timm.create_model("vit_tiny_patch16_224", num_classes=CLASSES, **sizes)
        case "llama":
            return t.LlamaForSequenceClassification(t.LlamaConfig(**TEXT | {"num_key_value_heads": 1}))
        case "gpt2":
            sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 50, "pad_token_id": 0}
            return t.GPT2ForSequenceClassification(t.GPT2Config(num_labels=CLASSES, **sizes))


def clip_vit_b32():
    """The paper's image encoder, by transformers' defaults, without weights."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    with torch.device("meta"):
        return CLIPVisionModel(CLIPVisionConfig())


def logits(model, name):
    """Outputs for a fixed batch of two."""
    generator = torch.Generator().manual_seed(1)
    if name in ("clip", "timm"):
        out = model(torch.randn(2, 3, 8, 8, generator=generator))
    else:
        out = model(input_ids=torch.randint(1, 50, (2, 6), generator=generator))
    return out if isinstance(out, torch.Tensor) else out.logits
