"""Backbones: pretrained models, materialised once and loaded with a fresh head."""

from frod.backbones.folder import materialise
from frod.backbones.loading import (
    describe,
    head_modules,
    input_facts,
    load,
    logits,
    positions,
    refusal,
    skeleton,
    tokenizer,
    tokens,
)

__all__ = [
    "describe",
    "head_modules",
    "input_facts",
    "load",
    "logits",
    "materialise",
    "positions",
    "refusal",
    "skeleton",
    "tokenizer",
    "tokens",
]
