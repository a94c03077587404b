"""Which models are causal language models, told from their configuration before there are weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TWO_SIDED = {"xlnet", "bert-generation", "cpmant"}
"""Types that transformers lists as causal, though a later token changes the scores of an earlier one."""
BOTH_WAYS = "use_bidirectional_attention"


def configuration(directory: Path, library: str) -> dict[str, Any]:
    """Return a folder's config.json, for `check_causal`; of timm's models, whose keys are others, nothing."""
    if library == "timm":
        return {}
    return json.loads((directory / "config.json").read_text("utf-8"))


def check_causal(name: str, config: Mapping[str, Any]) -> None:
    """Raise ValueError where a model is none that scores each next token by those before it alone.

    transformers would build RoBERTa as one, too; it was pretrained to see both sides of a gap.

    Parameters
    ----------
    config : mapping
        A config.json, or of it model_type and what makes the model differ from others of its type; empty for timm's.
    """
    if not is_causal(config):
        named = config.get("model_type") or "of timm"
        raise ValueError(
            f"the backbone {name} ({named}{f' with {BOTH_WAYS}' if _looks_both_ways(config) else ''}) is no causal "
            "language model, which writes or scores a text from left to right; choose one, such as a Llama"
        )


def is_causal(config: Mapping[str, Any]) -> bool:
    """Whether a config.json, as in `check_causal`, is of a model that sees of a text what is to the left alone."""
    from transformers.models.auto import modeling_auto

    causal, masked = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    named = config.get("model_type")
    return named in causal and named not in masked and named not in TWO_SIDED and not _looks_both_ways(config)


def _looks_both_ways(config: Mapping[str, Any]) -> bool:
    """Whether a Gemma was made an encoder, as EmbeddingGemma is; Gemma 4's "vision" is of images alone."""
    text = config.get("text_config")
    return any(one.get(BOTH_WAYS) in (True, "all") for one in (config, text) if isinstance(one, Mapping))
