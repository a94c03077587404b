"""What training changes that is no parameter: batch norm's running statistics and all other state of that kind.

Which buffers a model updates in train() mode, no list can tell. So all persistent ones are remembered as they were when
the first adapter came, and what is unlike them later belongs to the adapter that was in use.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from frod.method.fused import FrodFused
from frod.method.heads import within
from frod.method.linear import FrodLinear


def buffers(model: nn.Module) -> dict[str, Tensor]:
    """The persistent buffers by their names in the plain model, not copied; those of adapters are not persistent."""
    return {name: module._buffers[key] for name, (module, key) in _places(model).items()}  # type: ignore[misc]


def remembered(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the persistent buffers, in main memory."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in buffers(model).items()}


def changed(model: nn.Module, base: Mapping[str, Tensor], heads: Sequence[str]) -> dict[str, Tensor]:
    """The buffers that are not what they were in `base`, by name; without those of the modules that train in full."""
    return {
        name: tensor
        for name, tensor in buffers(model).items()
        if not within(name, *heads) and not (name in base and _same(tensor, base[name]))
    }


@torch.no_grad()
def set_to(model: nn.Module, values: Mapping[str, Tensor], heads: Sequence[str] = ()) -> None:
    """Give buffers the values that `values` has for them, in place; not those of the modules that train in full."""
    for name, (module, key) in _places(model).items():
        here = module._buffers[key]
        if here is None or name not in values or within(name, *heads):
            continue
        if here.shape == values[name].shape:
            here.copy_(values[name])
        else:  # an observer's, which takes its size from what it sees
            module._buffers[key] = values[name].to(here, copy=True)


def _places(model: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Module and key of each persistent buffer, by its name in the plain model."""
    found: dict[str, tuple[nn.Module, str]] = {}
    plain: dict[str, str] = {}
    adapted: set[str] = set()
    for name, module in model.named_modules():
        outer, _, key = name.rpartition(".")
        plain[name] = plain[outer] if key == "base" and outer in adapted else _join(plain.get(outer, ""), key)
        if isinstance(module, FrodLinear | FrodFused):
            adapted.add(name)
        for buffer, tensor in module._buffers.items():
            if tensor is not None and not tensor.is_meta and buffer not in module._non_persistent_buffers_set:
                found[_join(plain[name], buffer)] = (module, buffer)
    return found


def _join(outer: str, key: str) -> str:
    return f"{outer}.{key}" if outer else key


def _same(tensor: Tensor, other: Tensor) -> bool:
    """Whether they agree in all bytes, but for a cast of the model: nan is like nan then."""
    if tensor.shape != other.shape:
        return False
    one, two = (t.detach().cpu().to(tensor.dtype).contiguous().reshape(-1).view(torch.uint8) for t in (tensor, other))
    return torch.equal(one, two)
