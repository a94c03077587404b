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

    Parameters
    ----------
    model : nn.Module
        With an adapter.
    lr_scale, lr_rotation, lr_head : float
        Rates of lambda, of S, and of what trains in full.
    weight_decay : float
        For S and the head.
    scale_weight_decay : float
        For lambda. It starts as the pretrained weight's own, so decay pulls the weight to zero: 0, unless the released
        scripts' inadvertent 0.01 is to be repeated.

    Returns
    -------
    list of dict
        With "name" "scale", "rotation" and, if anything trains in full, "head".
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
