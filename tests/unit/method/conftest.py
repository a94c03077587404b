"""The toy model and its basis, and small models of the known architectures."""

import pytest
import torch
from torch import nn
from toy import TARGETS, Toy, adapt, count_calls, disturb

SMALL = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = SMALL | {"vocab_size": 10, "pad_token_id": 0}
MODELS = {
    "bert": ("BertConfig", "BertForSequenceClassification", TEXT),
    "roberta": ("RobertaConfig", "RobertaForSequenceClassification", TEXT),
    "mpnet": ("MPNetConfig", "MPNetForSequenceClassification", TEXT),
    "clip": ("CLIPVisionConfig", "CLIPVisionModel", SMALL | {"image_size": 8, "patch_size": 4}),
    "llama": ("LlamaConfig", "LlamaForSequenceClassification", TEXT),
    "causal": ("LlamaConfig", "LlamaForCausalLM", TEXT),
    "tied": ("LlamaConfig", "LlamaForCausalLM", TEXT | {"tie_word_embeddings": True}),
    "gpt2": (
        "GPT2Config",
        "GPT2ForSequenceClassification",
        {"n_embd": 8, "n_layer": 2, "n_head": 2, "vocab_size": 10, "pad_token_id": 0},
    ),
}


@pytest.fixture
def build():
    """A small model of a known architecture, by default on the meta device, where only names and shapes exist."""
    import timm
    import transformers

    def make(name, device="meta"):
        with torch.device(device):
            if name == "timm":
                return timm.create_model("vit_tiny_patch16_224", depth=2, img_size=8, patch_size=4, embed_dim=12)
            config, model, sizes = MODELS[name]
            return getattr(transformers, model)(getattr(transformers, config)(**sizes))

    return make


@pytest.fixture
def make_model():
    def make(dtype=torch.float32, seed=0, **sizes):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = Toy(**sizes)
            for parameter in model.parameters():
                # Conv1D starts at 0.02, which would hide errors behind tiny outputs.
                nn.init.normal_(parameter, std=0.5)
        return model.to(dtype).eval()

    return make


@pytest.fixture
def make_adapted(make_model):
    def make(dtype=torch.float32, *, targets=TARGETS, plan="auto", sparse_rate=0.1, by=0.0, train=("head",), **sizes):
        model = adapt(make_model(dtype, **sizes), targets, sparse_rate=sparse_rate, plan=plan, train=train)
        return disturb(model, by, seed=7), model._frod.basis

    return make


@pytest.fixture
def calls(monkeypatch):
    return count_calls(monkeypatch.setattr)
