"""A backbone's skeleton from its entry in the registry alone: what it will be, before any weight is fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from frod.backbones.folder import transformers_inputs
from frod.backbones.loading import library_class
from frod.backbones.registry import Architecture, BackboneSpec, Onnx

if TYPE_CHECKING:
    import torch


def build(spec: BackboneSpec, *, causal: bool = False) -> torch.nn.Module:
    """Build a backbone with a head of two outputs on the meta device, as `loading.skeleton` does from its files.

    `causal`: with a language model's own head.

    ValueError where the entry has no architecture, or the library refuses its name or arguments.
    """
    import torch

    known = spec.built_as
    if known is None:
        raise ValueError("architecture: is missing; name the library's model and the arguments of its configuration")
    try:
        with torch.device("meta"):
            if spec.library == "timm":
                import timm

                return timm.create_model(known.name, pretrained=False, num_classes=2, **known.arguments)
            return _transformers(spec, known, causal=causal)
    except (RuntimeError, TypeError, KeyError) as error:
        raise ValueError(
            f"architecture: {spec.library} cannot build {known.name} of {known.arguments}: {error}"
        ) from error


def _transformers(spec: BackboneSpec, known: Architecture, *, causal: bool) -> torch.nn.Module:
    import torch
    from transformers import AutoConfig

    config = AutoConfig.for_model(known.name, **known.arguments)
    kind = "causal" if causal else "text" if spec.max_length else "images"
    model = library_class(kind).from_config(config, dtype=torch.float32)
    if spec.max_length and model.config.pad_token_id is None:
        model.config.pad_token_id = 0  # as `load` does: without one, Llama's classifier takes no batch
    return model


def image_inputs(model: torch.nn.Module, spec: BackboneSpec) -> dict[str, Any]:
    """Return kind, size (height, width) and channels of the images that a skeleton takes, as `input_facts` does."""
    if isinstance(spec.source, Onnx):
        return transformers_inputs(spec.source.preprocessor, "preprocessor")
    config = getattr(model, "config", None)
    if config is None:
        patches: Any = model.patch_embed  # torch calls every attribute of a module a Tensor or a Module
        return {"kind": "images", "size": list(patches.img_size), "channels": patches.proj.in_channels}
    vision = getattr(config, "vision_config", config)
    return {"kind": "images", "size": [vision.image_size] * 2, "channels": vision.num_channels}
