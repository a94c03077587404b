"""Group what trains for an optimiser."""

from typing import Any

from torch import nn

from frod.method.state import frod_layers, get_adapter, head_parameters


def parameter_groups(
    model: nn.Module,
    *,
    lr_scale: float,
    lr_rotation: float,
    lr_head: float | None = None,
    weight_decay: float = 0.0,
    scale_weight_decay: float = 0.0,
) -> list[dict[str, Any]]:
    """Group what trains for a torch optimiser.

    Rates are of lambda, S, and what trains in full: groups named "scale", "rotation" and, if anything does, "head".
    `weight_decay` is for S and the head. Lambda starts as the pretrained weight's own, so its decay pulls the
    weight to zero: 0, unless the released scripts' inadvertent 0.01 is to be repeated.
    """
    layers = [layer for _, layer in frod_layers(model)]
    head = head_parameters(model)
    if head and lr_head is None:
        raise ValueError(f"lr_head=None, but {get_adapter(model).train} train in full; give their rate.")
    groups = [
        ("scale", [layer.scale for layer in layers], lr_scale, scale_weight_decay),
        ("rotation", [layer.rotation for layer in layers], lr_rotation, weight_decay),
        ("head", head, lr_head, weight_decay),
    ]
    names = ("name", "params", "lr", "weight_decay")
    return [dict(zip(names, group)) for group in groups if group[1]]
