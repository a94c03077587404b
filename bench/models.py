"""The shapes of the models that are measured, built with random weights: what a step costs does not depend on them.

Every shape is an encoder, whose linear layers are the targets, and a linear head that all methods train in full.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

BERT_TARGETS = ("query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense")
CLIP_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
LLAMA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj")  # without down_proj, as released


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One architecture in one size.

    Attributes
    ----------
    config, encoder : str
        Names of the classes in transformers.
    sizes, options : dict
        Arguments of the configuration, and of the encoder besides it. The number of layers is the configuration's
        `num_hidden_layers`.
    pool : callable
        Output of the encoder -> features (B, width).
    patches : int
        Tokens per image; 0 for text.
    """

    config: str
    encoder: str
    sizes: dict[str, int]
    layers: int
    targets: tuple[str, ...]
    classes: int
    pool: Callable[[Any], Tensor]
    patches: int = 0
    options: dict[str, Any]

    def tokens(self, length: int) -> int:
        """Tokens of one example."""
        return self.patches or length


def _pooled(output: Any) -> Tensor:
    return output.pooler_output


def _first(output: Any) -> Tensor:
    return output.last_hidden_state[:, 0]


def _last(output: Any) -> Tensor:
    return output.last_hidden_state[:, -1]


def _clip(sizes: dict[str, int], *, layers: int, patches: int, classes: int) -> Shape:
    return Shape(
        config="CLIPVisionConfig",
        encoder="CLIPVisionModel",
        sizes=sizes,
        layers=layers,
        targets=CLIP_TARGETS,
        classes=classes,
        pool=_pooled,
        patches=patches,
        options={},
    )


SHAPES: dict[str, Shape] = {
    "clip-vit-b32": _clip(
        {
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_attention_heads": 12,
            "image_size": 224,
            "patch_size": 32,
        },
        layers=12,
        patches=50,
        classes=196,
    ),
    "roberta-large": Shape(
        config="RobertaConfig",
        encoder="RobertaModel",
        sizes={
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_attention_heads": 16,
            "vocab_size": 50265,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
        },
        layers=24,
        targets=BERT_TARGETS,
        classes=2,
        pool=_first,
        options={"add_pooling_layer": False},
    ),
    "llama-2-7b": Shape(
        config="LlamaConfig",
        encoder="LlamaModel",
        sizes={
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "vocab_size": 32000,
            "max_position_embeddings": 4096,
        },
        layers=32,
        targets=LLAMA_TARGETS,
        classes=2,
        pool=_last,
        options={},
    ),
    # For the tests.
    "tiny": _clip(
        {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "image_size": 16, "patch_size": 8},
        layers=2,
        patches=5,
        classes=3,
    ),
}


class Classifier(nn.Module):
    """An encoder and a linear head.

    Parameters
    ----------
    shape : Shape
    layers : int
        Number of blocks.
    """

    def __init__(self, shape: Shape, layers: int) -> None:
        super().__init__()
        import transformers

        config = getattr(transformers, shape.config)(**shape.sizes, num_hidden_layers=layers, use_cache=False)
        self.encoder = getattr(transformers, shape.encoder)(config, **shape.options)
        self.head = nn.Linear(shape.sizes["hidden_size"], shape.classes)
        self.pool = shape.pool

    def forward(self, **inputs: Tensor) -> Tensor:
        """Class scores (B, classes)."""
        return self.head(self.pool(self.encoder(**inputs)))


def build(name: str, *, layers: int, device: str, dtype: torch.dtype, seed: int = 0) -> Classifier:
    """A model in training mode, made in place on the device in the dtype: a 7B shape exists nowhere else meanwhile.

    The same arguments give the same weights, so that a basis serves every model built so.
    """
    torch.manual_seed(seed)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = Classifier(SHAPES[name], layers)
    finally:
        torch.set_default_dtype(before)
    return model.train()


def examples(
    name: str, *, batch: int, length: int, device: str, dtype: torch.dtype, seed: int = 1
) -> tuple[dict[str, Tensor], Tensor]:
    """A fixed micro-batch of random inputs, without padding, and its labels (B,)."""
    shape = SHAPES[name]
    generator = torch.Generator().manual_seed(seed)
    if shape.patches:
        size = (batch, 3, shape.sizes["image_size"], shape.sizes["image_size"])
        inputs = {"pixel_values": torch.randn(size, generator=generator).to(dtype)}
    else:
        inputs = {"input_ids": torch.randint(3, shape.sizes["vocab_size"], (batch, length), generator=generator)}
    labels = torch.randint(shape.classes, (batch,), generator=generator)
    return {key: value.to(device) for key, value in inputs.items()}, labels.to(device)
