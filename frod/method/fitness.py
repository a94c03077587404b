"""Whether an adapter can stand over a layer: its weight a parameter with its own storage, its forward its class's."""

from collections.abc import Mapping
from itertools import chain

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass


def refuse_unfit(model: nn.Module, layers: Mapping[str, nn.Module]) -> None:
    """Refuse layers, given by name, whose weight is computed, or shares storage, or that have a forward put on them."""
    for name, layer in layers.items():
        if not isinstance(layer._parameters.get("weight"), nn.Parameter):
            raise ValueError(
                f"the weight of {name!r} is no parameter, but computed from others in every forward (weight_norm, "
                "spectral_norm, pruning, FSDP's flat pieces): an adapter could not be merged into it. Make it a plain "
                "one first (remove_parametrizations, remove_weight_norm, prune.remove), or leave the layer out."
            )
        if "forward" in vars(layer) and "_hf_hook" not in vars(layer):  # accelerate's is known, and kept
            raise ValueError(
                f"{name!r} has a forward that was put on this very layer, which an adapter would pass by; take it off "
                "before `attach`, or leave the layer out."
            )
    _refuse_shared(model, layers)


def _refuse_shared(model: nn.Module, layers: Mapping[str, nn.Module]) -> None:
    everything: dict[int, list[tuple[str, Tensor]]] = {}
    for name, tensor in chain(model.named_parameters(remove_duplicate=False), model.named_buffers()):
        everything.setdefault(_memory(tensor), []).append((name, tensor))
    for name, layer in layers.items():
        weight = layer.get_parameter("weight")
        if any(stride == 0 and length > 1 for length, stride in zip(weight.shape, weight.stride(), strict=True)):
            raise ValueError(
                f"the weight of {name!r} is one row or column, expanded: an adapter cannot be merged into it. Leave "
                "the layer out, or write it out first: layer.weight = nn.Parameter(layer.weight.contiguous())."
            )
        for other, tensor in everything[_memory(weight)]:
            if other != f"{name}.weight" and (tensor is weight or _overlap(weight, tensor)):
                raise ValueError(
                    f"{name!r} shares its weight with {other!r}: one adapter cannot change one use and not the other. "
                    "Leave it out of the targets, untie the weights (transformers: tie_word_embeddings=False), or give "
                    "it a copy first: layer.weight = nn.Parameter(layer.weight.clone())."
                )


def _memory(tensor: Tensor) -> int:
    """Where a tensor is stored; without an address that means anything, the object itself."""
    if tensor.is_meta or tensor.layout != torch.strided or is_traceable_wrapper_subclass(tensor):
        return id(tensor)
    return tensor.untyped_storage().data_ptr()


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of one storage have a byte in common; pieces of it, side by side or interleaved, have not."""
    begin, end = _span(one)
    if max(begin, _span(other)[0]) >= min(end, _span(other)[1]):
        return False
    begin, end = min(begin, _span(other)[0]), max(end, _span(other)[1])
    used = torch.zeros(end - begin, dtype=torch.bool, device="cpu")
    _bytes(one, used, begin).fill_(True)
    return bool(_bytes(other, used, begin).any())


def _span(tensor: Tensor) -> tuple[int, int]:
    """First byte of a tensor in its storage, and the one behind its last."""
    last = sum((length - 1) * stride for length, stride in zip(tensor.shape, tensor.stride(), strict=True))
    begin = int(tensor.storage_offset()) * tensor.element_size()
    return begin, begin + (last + 1) * tensor.element_size()


def _bytes(tensor: Tensor, used: Tensor, begin: int) -> Tensor:
    """The places of a tensor's bytes in `used`, which stands for its storage from a byte on."""
    size = tensor.element_size()
    strides = [stride * size for stride in tensor.stride()]
    return used.as_strided((*tensor.shape, size), (*strides, 1), tensor.storage_offset() * size - begin)
