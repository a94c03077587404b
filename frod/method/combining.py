"""A new adapter from those of a model: their weighted sum, averages included.

Adapters of one model share U and V, and W' - W = U (diag(lambda - lambda_0) + S) V^T is linear in lambda - lambda_0 and
S. So the weighted sum of these gives the weighted sum of the changes of W, up to rounding. With LoRA it does not: a sum
of products B A is no product of that rank. Where the patterns differ, S has the places of all.

Shapes: n in_features, k entries of S.
"""

import math
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from frod.method.attach import attach
from frod.method.linear import FrodLinear, all_layers
from frod.method.pattern import Places
from frod.method.state import AdapterState, changed_buffers, get_adapter, get_state, head_tensors
from frod.method.weights import Adapter
from frod.method.wrappers import unwrapped


@torch.no_grad()
def combine(model: nn.Module, weights: Mapping[str, float], *, name: str) -> nn.Module:
    """Add the weighted sum of adapters of the model as a new one, in place, and make it the one in use.

    Parameters
    ----------
    model : nn.Module
        Has the adapters, which stay; it is also returned.
    weights : mapping of str to float
        Adapter -> weight. {"first": 0.5, "second": 0.5} is the average. Weights need not sum to one: what is summed is
        the change of each weight matrix, exactly up to rounding, and of each module that trains in full.
    name : str
        Of the new adapter. It can be trained on and saved as any other.

    Raises
    ------
    ValueError
        If a name is unknown or taken, a weight is not finite, or buffers (batch norm's statistics) were trained: the
        statistics of a sum are not the sum of statistics.
    """
    state, inner = get_state(model), unwrapped(model)
    _check(inner, state, weights)
    configs = [state.adapters[adapter] for adapter in weights]
    heads = _summed_heads(inner, state, weights)
    first = configs[0]
    alike = first.seed is not None and all((c.sparse_rate, c.seed) == (first.sparse_rate, first.seed) for c in configs)
    freeze = [group for group in first.freeze if all(group in config.freeze for config in configs)]
    places = None if alike or "rotation" in freeze else _union_of_places(inner, state, weights)
    rate = first.sparse_rate
    if places is not None:
        rate = max(rows.numel() / state.basis.categories[c].n ** 2 for c, (rows, _) in places.items())
    blocks = {block for config in configs for block in config.blocks or ()}
    attach(
        model,
        state.basis,
        sparse_rate=rate,
        seed=first.seed or 0,
        train=sorted({prefix for config in configs for prefix in config.train}),
        layers=None if any(config.blocks is None for config in configs) else sorted(blocks),
        patterns=places,
        freeze=freeze,
        name=name,
    )
    for layer in all_layers(inner):
        if layer.active is not None:
            _sum_into(layer, weights)
    for key, tensor in head_tensors(model).items():
        if key in heads:
            tensor.copy_(heads[key])
    return model


def _check(model: nn.Module, state: AdapterState, weights: Mapping[str, float]) -> None:
    get_adapter(model)  # refuses within `disabled`
    if not isinstance(weights, Mapping):
        example = "{'first': 0.5, 'second': 0.5}"
        raise ValueError(f"weights={weights!r} must give each adapter a weight, such as weights={example}.")
    unknown = [adapter for adapter in weights if adapter not in state.adapters]
    if unknown or not weights:
        raise ValueError(f"weights={dict(weights)} must name adapters of the model: {', '.join(state.adapters)}.")
    if not all(math.isfinite(weight) for weight in weights.values()):
        raise ValueError(f"weights={dict(weights)} must be finite numbers.")
    for adapter in weights:
        outside = changed_buffers(model) if adapter == state.active else state.statistics[adapter]
        inside = [
            f"{prefix}.{key}"
            for prefix, head in _heads(model, state, adapter).items()
            for key, tensor in head.named_buffers()
            if not torch.equal(tensor.cpu(), state.original[prefix].get_buffer(key))
        ]
        if changed := [*outside, *inside]:
            raise ValueError(f"the adapter {adapter!r} has trained buffers, {changed[:4]}, which cannot be summed.")


def _heads(model: nn.Module, state: AdapterState, adapter: str) -> dict[str, nn.Module]:
    """The modules that an adapter trains in full, by name."""
    if adapter == state.active:
        return {prefix: model.get_submodule(prefix) for prefix in state.adapters[adapter].train}
    return state.heads[adapter]


def _summed_heads(model: nn.Module, state: AdapterState, weights: Mapping[str, float]) -> dict[str, Tensor]:
    """original + sum of weight (trained - original), by the names of the parameters in the model."""
    summed: dict[str, Tensor] = {}
    for adapter, weight in weights.items():
        for prefix, head in _heads(model, state, adapter).items():
            for key, tensor in head.named_parameters(remove_duplicate=False):
                start = state.original[prefix].get_parameter(key).double()
                change = weight * (tensor.detach().cpu().double() - start)
                summed[f"{prefix}.{key}"] = summed.get(f"{prefix}.{key}", start) + change
    return summed


def _union_of_places(model: nn.Module, state: AdapterState, weights: Mapping[str, float]) -> dict[str, Places]:
    """The places of S that any of the adapters has, per category."""
    flat: dict[str, list[Tensor]] = {category: [] for category in state.basis.categories}
    for layer in all_layers(model):
        for adapter in weights.keys() & layer.adapters.keys():
            flat[layer.category].append(_flat(layer, adapter).cpu())
    found = {}
    for category, given in flat.items():
        every = torch.unique(torch.cat([torch.empty(0, dtype=torch.long, device="cpu"), *given]))
        n = state.basis.categories[category].n
        found[category] = (every // n, every % n)
    return found


def _flat(layer: FrodLinear, adapter: str) -> Tensor:
    """Each place of an adapter's S as one number, (k,), in the order of `rotation`."""
    rows, columns = cast(Adapter, layer.adapters[adapter]).pattern.places()
    return rows * layer.in_features + columns


def _sum_into(layer: FrodLinear, weights: Mapping[str, float]) -> None:
    """Give the adapter in use the weighted sums of lambda - lambda_0 and of S, taken in float64."""
    assert layer.active is not None
    scale, rotation = (t.to(torch.float64, copy=True) for t in (layer.lambda_0, layer.rotation))
    order = (there := _flat(layer, layer.active)).argsort()
    for name in [name for name in weights if name in layer.adapters]:
        adapter = cast(Adapter, layer.adapters[name])
        scale += weights[name] * (adapter.scale.double() - layer.lambda_0.double())
        at = order[torch.searchsorted(there[order], _flat(layer, name))]
        rotation[at] += weights[name] * adapter.rotation.double()
    layer.scale.copy_(scale)
    layer.rotation.copy_(rotation)
