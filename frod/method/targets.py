"""Which layers of a model are adapted, and which of them play the same role.

A *category* is a role: the dotted name of a layer with the indices of its blocks replaced by ``*``. All layers of a
category share one basis. Names are made *canonical* first (what wraps the block list is dropped), so that a basis taken
from a bare encoder fits the same encoder inside a classifier.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from torch import nn

Targets = Sequence[str] | str | None

# What the released scripts adapt, by the `model_type` of a transformers configuration or the class of a timm model.
# Llama's down_proj is left out there, and so it is here.
DEFAULT: dict[str, tuple[str, ...]] = {
    "bert": ("query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"),
    "roberta": ("query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"),
    "xlm-roberta": ("query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"),
    "mpnet": ("attn.q", "attn.k", "attn.v", "attn.o", "intermediate.dense", "output.dense"),
    "clip": ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
    "clip_vision_model": ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
    "llama": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj"),
    "gpt2": ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"),
    # timm fuses q, k and v into one layer; it is one category here.
    "timm.VisionTransformer": ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"),
}


def is_conv1d(module: nn.Module) -> bool:
    """Whether this is transformers' ``Conv1D``, which keeps its weight as (in, out); told by name, not by import."""
    return type(module).__name__ == "Conv1D" and type(module).__module__.startswith("transformers.")


def is_adaptable(module: nn.Module) -> bool:
    """Whether the layer is a plain linear map whose forward we may replace.

    ``nn.MultiheadAttention`` reads the weight of its ``out_proj`` and never calls it, so an adapter there would be
    silently ignored: it does not count as adaptable. Nor do quantised layers, which have a forward of their own.
    """
    if isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear):
        return False
    return is_conv1d(module) or (isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward)


def model_type(model: nn.Module) -> str:
    """Name the architecture: the outermost module that says so, or the class of the model."""
    for module in model.modules():
        declared = getattr(getattr(module, "config", None), "model_type", None)
        if isinstance(declared, str) and declared:
            return declared
        if type(module).__module__.startswith("timm.models."):
            return f"timm.{type(module).__name__}"
    return type(model).__name__


def resolve(model: nn.Module, targets: Targets) -> tuple[str, ...] | str:
    """Return the targets as given, or the default of the architecture.

    Raises
    ------
    ValueError
        If none are given and the architecture has no default.
    """
    if targets is None:
        kind = model_type(model)
        if kind not in DEFAULT:
            known = ", ".join(sorted(DEFAULT))
            raise ValueError(
                f"targets=None, but model type {kind!r} has no default targets (known: {known}). Name the layers: "
                "targets=['q_proj', 'v_proj'] for all names that end so, or one regular expression for the full name."
            )
        return DEFAULT[kind]
    if isinstance(targets, str):
        return targets
    if not targets:
        raise ValueError("targets=[] names no layer; give name suffixes, a regular expression, or None.")
    return tuple(targets)


def _matches(name: str, wanted: tuple[str, ...] | str) -> list[str]:
    if isinstance(wanted, str):
        return [wanted] if re.fullmatch(wanted, name) else []
    return [suffix for suffix in wanted if name == suffix or name.endswith("." + suffix)]


def find(model: nn.Module, targets: Targets = None) -> dict[str, dict[str, nn.Module]]:
    """Find the layers to adapt.

    Parameters
    ----------
    model : nn.Module
        Any model; its target layers are ``nn.Linear`` or transformers' ``Conv1D``.
    targets : list of str, str, or None
        A list of name suffixes (``"q_proj"`` matches ``q_proj`` and ``....q_proj``), or one regular expression that
        the full name has to match, as in peft; None takes the default of the architecture.

    Returns
    -------
    dict of str to dict of str to nn.Module
        Category -> name of the layer in this model -> layer; both in the order of the model.

    Raises
    ------
    ValueError
        If a target matches nothing, or something that cannot be adapted, or a weight that is shared.
    """
    wanted = resolve(model, targets)
    unused = {wanted} if isinstance(wanted, str) else set(wanted)
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        hits = _matches(name, wanted)
        if not hits or isinstance(module, nn.ModuleList | nn.Sequential):
            continue
        if not is_adaptable(module):
            if any(True for _ in module.children()):
                continue  # a container whose name happens to match, not a layer
            raise ValueError(
                f"targets={targets!r} match {name!r}, a {type(module).__name__}; only nn.Linear and transformers' "
                "Conv1D can be adapted. Narrow the targets to leave it out."
            )
        unused.difference_update(hits)
        found[name] = module
    if unused:
        raise ValueError(f"targets {sorted(unused)} match no linear layer of {type(model).__name__}; check the names.")
    _refuse_shared(model, found)
    return _by_category(found)


def _refuse_shared(model: nn.Module, found: dict[str, nn.Module]) -> None:
    owners: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(parameter), []).append(name)
    for name, module in found.items():
        users = owners[id(module.weight)]
        if len(users) > 1:
            raise ValueError(
                f"{name!r} shares its weight with {[user for user in users if user != name + '.weight']}: one adapter "
                "cannot change one use and not the other. Leave it out of the targets, or untie the weights first."
            )


def canonical_names(names: Iterable[str]) -> dict[str, str]:
    """Drop what all names have in common before the block list: ``bert.encoder.layer.0.x`` -> ``layer.0.x``.

    The same encoder then has the same names whether it stands alone or inside a classifier.
    """
    split = {name: name.split(".") for name in names}
    if not split:
        return {}
    shared = list(next(iter(split.values())))[:-1]
    for parts in split.values():
        while shared != parts[: len(shared)]:
            shared.pop()
    first_index = next((at for at, part in enumerate(shared) if part.isdigit()), len(shared))
    drop = min(first_index, len(shared))
    # Keep the name of the block list itself: "layer.0.x" reads better than "0.x".
    if drop and all(parts[drop].isdigit() for parts in split.values()):
        drop -= 1
    return {name: ".".join(parts[drop:]) for name, parts in split.items()}


def category_of(canonical_name: str) -> str:
    """Replace the block indices; a number at the very end is a place in an nn.Sequential, so it is part of the role."""
    *path, last = canonical_name.split(".")
    return ".".join([*("*" if part.isdigit() else part for part in path), last])


def _by_category(found: dict[str, nn.Module]) -> dict[str, dict[str, nn.Module]]:
    canonical = canonical_names(found)
    widths: dict[str, Counter[int]] = {}
    for name, module in found.items():
        widths.setdefault(category_of(canonical[name]), Counter())[in_features(module)] += 1
    categories: dict[str, dict[str, nn.Module]] = {}
    for name, module in found.items():
        category = category_of(canonical[name])
        if len(widths[category]) > 1:
            # Stages of different width (hierarchical vision models) cannot share a basis.
            category = f"{category}@{in_features(module)}"
        categories.setdefault(category, {})[name] = module
    return categories


def in_features(module: nn.Module) -> int:
    """Width of the input: n."""
    weight = module.weight
    return int(weight.shape[0] if is_conv1d(module) else weight.shape[1])  # type: ignore[index, union-attr]


def out_features(module: nn.Module) -> int:
    """Width of the output: m."""
    weight = module.weight
    return int(weight.shape[1] if is_conv1d(module) else weight.shape[0])  # type: ignore[index, union-attr]
