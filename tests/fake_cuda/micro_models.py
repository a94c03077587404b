"""A ViT, a BERT and a Llama of two blocks, prepared examples for each, and their basis."""

import numpy as np
import torch

import frod
from frod.tasks.arrays import Split

SMALL = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = SMALL | {"vocab_size": 10, "pad_token_id": 0, "num_labels": 3}
HEADS = {"vit": ["head"], "bert": ["classifier"], "llama": ["score"]}


def model(name, dtype=torch.float32):
    import timm
    import transformers

    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name == "vit":
            sizes = {"depth": 2, "img_size": 8, "patch_size": 4, "embed_dim": 12, "num_classes": 3}
            built = timm.create_model("vit_tiny_patch16_224", **sizes)
        elif name == "bert":
            built = transformers.BertForSequenceClassification(transformers.BertConfig(**TEXT))
        else:
            built = transformers.LlamaForSequenceClassification(transformers.LlamaConfig(**TEXT, use_cache=False))
    return built.to(dtype).eval()


def adapted(name, dtype=torch.float32, plan="auto"):
    """With FRoD on it, on the processor."""
    plain = model(name, dtype)
    basis = frod.extract_basis(plain, progress=False)
    return frod.attach(plain, basis, sparse_rate=0.1, plan=plan, train=HEADS[name])


def examples(name, count=6):
    """Prepared examples, as a task's arrays have them."""
    labels, ids = np.arange(count) % 3, np.arange(count)
    if name == "vit":
        images = np.zeros((count, 8, 8, 3), np.uint8)
        inputs = {"mean": [0.5] * 3, "std": [0.5] * 3}
        return Split(name="validation", labels=labels, ids=ids, arrays={"images": images}, inputs=inputs)
    offsets = np.cumsum([0, *(2 + ids % 3)])
    tokens = np.ones(offsets[-1], np.int32)
    arrays = {"tokens": tokens, "offsets": offsets}
    return Split(name="validation", labels=labels, ids=ids, arrays=arrays, inputs={"pad_token_id": 0})
