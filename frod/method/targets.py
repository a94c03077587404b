"""Which layers of a model are adapted, and which of them play the same role.

A *category* is a role: the dotted name of a layer with the indices of its blocks replaced by ``*`` (see
`frod.method.blocks`). All layers of a category share one basis. Names are made *canonical* first (what wraps the block
list is dropped), so that a basis taken from a bare encoder fits the same encoder inside a classifier.

A layer named ``qkv`` holds three roles in one weight (timm's attention): its thirds are targets of their own,
``....qkv.q``, ``.k`` and ``.v``, with a basis each, as the layers of models that keep them apart.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from frod.method import heads
from frod.method.blocks import canonical_names, starred
from frod.method.fitness import refuse_unfit
from frod.method.quantised import is_quantised

Targets = Sequence[str] | str | None

# What the released scripts adapt, by the `model_type` of a transformers configuration or the class of a timm model; of
# DINOv2, which they do not have, the layers of the same roles.
# Llama's down_proj is left out there, and so it is here.
DEFAULT: dict[str, tuple[str, ...]] = {
    "bert": ("query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"),
    "roberta": ("query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"),
    "xlm-roberta": ("query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"),
    "mpnet": ("attn.q", "attn.k", "attn.v", "attn.o", "intermediate.dense", "output.dense"),
    "clip": ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
    "clip_vision_model": ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
    "dinov2": ("q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"),
    "llama": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj"),
    "gpt2": ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"),
    "timm.VisionTransformer": ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"),
}

# As peft spells it: every linear layer but those of the head, and of the output embedding.
ALL_LINEAR = "all-linear"

FUSED = "qkv"
ROLES = ("q", "k", "v")


@dataclass(frozen=True, eq=False)
class FusedSlice:
    """The rows of a fused layer that serve one role; it has the weight and bias of a layer, as views."""

    layer: nn.Linear
    rows: slice

    @property
    def weight(self) -> Tensor:
        """Rows of the fused weight, (m, n)."""
        return self.layer.weight[self.rows]

    @property
    def bias(self) -> Tensor | None:
        """Entries of the fused bias, (m,)."""
        return None if self.layer.bias is None else self.layer.bias[self.rows]


Target = nn.Module | FusedSlice


def fused_slice(layer: nn.Linear, role: str) -> FusedSlice:
    """The third of a fused layer that holds a role."""
    m = layer.weight.shape[0] // len(ROLES)
    at = ROLES.index(role)
    return FusedSlice(layer, slice(at * m, (at + 1) * m))


def is_fused(name: str, module: nn.Module) -> bool:
    """Whether the layer holds q, k and v, in this order, in one weight: told by its name."""
    named_so = name.rpartition(".")[2] == FUSED
    return named_so and type(module) is nn.Linear and module.weight.shape[0] % len(ROLES) == 0


def get(model: nn.Module, name: str) -> Target:
    """The target of a name that `find` gave, or what was put in its place."""
    outer, _, role = name.rpartition(".")
    if role in ROLES and outer.rpartition(".")[2] == FUSED:
        holder = model.get_submodule(outer)
        if role in holder._modules:
            return holder.get_submodule(role)
        layer = getattr(holder, "base", holder)
        if is_fused(outer, layer):
            return fused_slice(cast(nn.Linear, layer), role)
    return model.get_submodule(name)


def modules_of(found: dict[str, dict[str, Target]]) -> list[str]:
    """Names of the modules that hold the targets that `find` gave, for a method that adapts whole modules."""
    targets = [(name, target) for layers in found.values() for name, target in layers.items()]
    roles = Counter(name.rpartition(".")[0] for name, target in targets if isinstance(target, FusedSlice))
    for name, count in roles.items():
        if count < len(ROLES):
            raise ValueError(
                f"targets: {count} of the {len(ROLES)} roles of {name!r} are named, and this method adapts the layer "
                f"as a whole. Name the layer: {FUSED!r}."
            )
    names = [name.rpartition(".")[0] if isinstance(target, FusedSlice) else name for name, target in targets]
    return list(dict.fromkeys(names))


def is_conv1d(module: object) -> bool:
    """Whether this is transformers' ``Conv1D``, which keeps its weight as (in, out); told by name, not by import."""
    return type(module).__name__ == "Conv1D" and type(module).__module__.startswith("transformers.")


def is_adaptable(module: nn.Module) -> bool:
    """Whether the layer is a plain linear map whose forward we may replace.

    The ``out_proj`` that ``nn.MultiheadAttention`` reads and never calls is not. Of layers with a forward of their own,
    the quantised ones are.
    """
    if isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear):
        return False
    if is_conv1d(module) or is_quantised(module):
        return True
    return isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward


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
    """Return the targets as given, or the default of the architecture; ValueError if it has none."""
    if targets is None:
        kind = model_type(model)
        if kind not in DEFAULT:
            known = ", ".join(sorted(DEFAULT))
            raise ValueError(
                f"targets=None, but model type {kind!r} has no default targets (known: {known}). Name the layers: "
                "targets=['q_proj', 'v_proj'] for all names that end so, one regular expression for the full name, or "
                f"{ALL_LINEAR!r}."
            )
        return DEFAULT[kind]
    if (targets if isinstance(targets, str) else "".join(targets)).lower() == ALL_LINEAR:
        return ALL_LINEAR
    if isinstance(targets, str):
        return targets
    if not targets:
        raise ValueError("targets=[] names no layer; give name suffixes, a regular expression, or None.")
    return tuple(targets)


def _matches(name: str, wanted: tuple[str, ...] | str) -> list[str]:
    if isinstance(wanted, str):
        return [wanted] if re.fullmatch(wanted, name) else []
    return [suffix for suffix in wanted if name == suffix or name.endswith("." + suffix)]


def _all_linear(model: nn.Module) -> str:
    """A regular expression for the full names of what "all-linear" means."""
    output = getattr(model, "get_output_embeddings", lambda: None)()
    owners = Counter(map(id, (parameter for _, parameter in model.named_parameters(remove_duplicate=False))))
    without = tuple(f"{name}." for name in heads.named(model))
    names = [
        re.escape(name)
        for name, module in model.named_modules()
        if is_adaptable(module) and module is not output and not f"{name}.".startswith(without)
        if owners[id(module.weight)] == 1  # tied to an embedding: not to be changed in one of its uses
    ]
    if not names:
        raise ValueError(f"targets={ALL_LINEAR!r}: {type(model).__name__} has no linear layer but its head.")
    return "|".join(names)


def _roles(name: str, module: nn.Module) -> Iterator[tuple[str, Target]]:
    """The layer under its name, or the parts of a fused one under theirs."""
    if is_fused(name, module):
        for role in ROLES:
            yield f"{name}.{role}", fused_slice(cast(nn.Linear, module), role)
    else:
        yield name, module


def find(model: nn.Module, targets: Targets = None) -> dict[str, dict[str, Target]]:
    """Find the layers to adapt: ``nn.Linear``, transformers' ``Conv1D``, and bitsandbytes' quantised ones.

    Targets are a list of name suffixes (``"q_proj"`` matches ``q_proj`` and ``....q_proj``), or one regular expression
    that the full name has to match, as in peft, or "all-linear"; None takes the default of the architecture. ValueError
    if one matches nothing, or what cannot be adapted.

    Returns
    -------
    dict of str to dict of str to nn.Module or FusedSlice
        Category -> name of the layer (or slice) in this model -> layer; both in the order of the model.
    """
    wanted = resolve(model, targets)
    wanted = _all_linear(model) if wanted == ALL_LINEAR else wanted
    unused = {wanted} if isinstance(wanted, str) else set(wanted)
    found: dict[str, Target] = {}
    for module_name, module in model.named_modules():
        whole = _matches(module_name, wanted)
        for name, target in _roles(module_name, module):
            hits = whole or (_matches(name, wanted) if isinstance(target, FusedSlice) else [])
            if hits and _check_adaptable(name, module, targets):
                unused.difference_update(hits)
                found[name] = target
    if unused:
        known = sorted({name.rpartition(".")[2] for name, module in model.named_modules() if is_adaptable(module)})
        raise ValueError(
            f"targets {sorted(unused)} match no linear layer of {type(model).__name__}, whose layers' names end in "
            f"{', '.join(known)}."
        )
    fused = {n.rpartition(".")[0]: target.layer for n, target in found.items() if isinstance(target, FusedSlice)}
    refuse_unfit(model, fused | {n: target for n, target in found.items() if isinstance(target, nn.Module)})
    return _by_category(found)


def _check_adaptable(name: str, module: nn.Module, targets: Targets) -> bool:
    """True for a layer, False for a container whose name happens to match, an error for another kind of layer."""
    if is_adaptable(module):
        return True
    if any(True for _ in module.children()) or isinstance(module, nn.ModuleList | nn.Sequential):
        return False
    raise ValueError(
        f"targets={targets!r} match {name!r}, a {type(module).__name__}; only nn.Linear, transformers' Conv1D and "
        "bitsandbytes' Linear4bit and Linear8bitLt can be adapted. Narrow the targets to leave it out."
    )


def _by_category(found: dict[str, Target]) -> dict[str, dict[str, Target]]:
    canonical = canonical_names(found)
    shapes = {canonical[name]: (out_features(target), in_features(target)) for name, target in found.items()}
    roles = starred(shapes)
    widths: dict[str, set[int]] = {}
    for name, (_, n) in shapes.items():
        widths.setdefault(roles[name], set()).add(n)
    categories: dict[str, dict[str, Target]] = {}
    for name, target in found.items():
        category = roles[canonical[name]]
        if len(widths[category]) > 1:
            # Stages of different width (hierarchical vision models) cannot share a basis.
            category = f"{category}@{in_features(target)}"
        categories.setdefault(category, {})[name] = target
    return categories


def in_features(target: Target) -> int:
    """Width of the input: n."""
    if isinstance(target, nn.Module) and is_quantised(target):
        return cast(int, target.in_features)  # 4-bit weights are packed into another shape
    return int(cast(Tensor, target.weight).shape[0 if is_conv1d(target) else 1])


def out_features(target: Target) -> int:
    """Width of the output: m."""
    if isinstance(target, nn.Module) and is_quantised(target):
        return cast(int, target.out_features)
    return int(cast(Tensor, target.weight).shape[1 if is_conv1d(target) else 0])
