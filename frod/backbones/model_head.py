"""The head of a model: which modules it is, and its first weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

STD = 0.02  # what BERT, RoBERTa, Llama and timm initialise a head with; the same for all, so that it is one choice


def head_modules(model: torch.nn.Module) -> list[str]:
    """Return the names of the modules that every method trains in full: the head.

    It is what stands next to the pretrained body: BERT's `classifier`, Llama's `score`, DistilBERT's `pre_classifier`
    and `classifier`, DeBERTa's `pooler` and `classifier`. timm's models name theirs. A language model's own head was
    pretrained with it: there is none to train.
    """
    output = getattr(model, "get_output_embeddings", lambda: None)()
    if output is not None:
        return []
    if timm := getattr(model, "pretrained_cfg", None):
        named = timm["classifier"]
        found = [named] if isinstance(named, str) else list(named)
    else:
        body = getattr(model, "base_model", model)
        children = [name for name, child in model.named_children() if child is not body and list(child.parameters())]
        # A body that is no module of its own (CLIP's vision tower): then the head goes by its name.
        found = children if body is not model else [name for name in children if name == "classifier"]
    if not found:
        raise ValueError(f"{type(model).__name__}: no head is found next to its body; it is no classifier")
    return found


def belongs_to_head(name: str, head: Iterable[str]) -> bool:
    """Whether a weight is one of the head's."""
    return any(name.startswith(f"{module}.") for module in head)


def initialise(model: torch.nn.Module, seed: int) -> None:
    """Draw the head's weights from a normal distribution of standard deviation 0.02; biases are zero."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name in head_modules(model):
            for module in model.get_submodule(name).modules():
                if isinstance(module, torch.nn.Linear):
                    drawn = torch.empty(module.weight.shape).normal_(0.0, STD, generator=generator)
                    module.weight.copy_(drawn)  # drawn in float32: the same head in every dtype, but for rounding
                    if module.bias is not None:
                        module.bias.zero_()
