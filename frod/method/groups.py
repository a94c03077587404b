"""Group what trains for an optimiser."""

from typing import Any

from torch import nn

from frod.method.state import GROUPS, adapter_tensors, get_adapter, head_parameters


def parameter_groups(
    model: nn.Module,
    *,
    lr_scale: float | None = None,
    lr_rotation: float | None = None,
    lr_head: float | None = None,
    weight_decay: float = 0.0,
    scale_weight_decay: float = 0.0,
) -> list[dict[str, Any]]:
    """Group what trains for a torch optimiser.

    Rates are of lambda, S, and what trains in full: groups named "scale", "rotation" and "head", of those that train.
    `weight_decay` is for S and the head. Lambda starts as the pretrained weight's own, so its decay pulls the
    weight to zero: 0, unless the released scripts' inadvertent 0.01 is to be repeated.
    """
    by_group: dict[str, list[Any]] = {group: [] for group in GROUPS}
    for _, group, parameter in adapter_tensors(model):
        by_group[group].append(parameter)
    groups = [
        ("scale", by_group["scale"], lr_scale, scale_weight_decay),
        ("rotation", by_group["rotation"], lr_rotation, weight_decay),
        ("head", head_parameters(model), lr_head, weight_decay),
    ]
    names = ("name", "params", "lr", "weight_decay")
    trained = [group for group in groups if any(parameter.numel() for parameter in group[1])]
    for name, _, lr, _ in trained:
        if lr is None:
            what = f"{get_adapter(model).train} train in full" if name == "head" else f"the adapter trains its {name}"
            raise ValueError(f"lr_{name}=None, but {what}; give their rate.")
    return [dict(zip(names, group)) for group in trained]
