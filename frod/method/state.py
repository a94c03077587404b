"""The adapters of a model, by name, and which of them is in use."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, cast

from torch import Tensor, nn

from frod.method import running_state
from frod.method.basis import Basis
from frod.method.linear import FrodLinear, all_layers
from frod.method.wrappers import ddp_leaves_alone, is_distributed, set_ddp_leaves_alone, unwrapped

# What an adapter trains of a layer: lambda and S.
GROUPS = ("scale", "rotation")

# What has to be the same where an adapter's numbers are read back into a model that has the adapter already.
SETTINGS = ("basis_digest", "model_hash", "sparse_rate", "seed", "blocks", "train")


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """One adapter of a model.

    Attributes
    ----------
    seed : int, or None
        What the pattern was drawn from; None if it was given.
    blocks : tuple of int, or None
        Which blocks are adapted; None for all.
    freeze : tuple of str
        Of `GROUPS`, what stays as it starts.
    adapted : dict of str to str
        Name of each adapted layer in this model -> its canonical name.
    train : tuple of str
        Modules that train in full besides: the head.
    """

    basis_digest: str
    model_hash: str
    targets: tuple[str, ...] | str
    ridge: float | None
    sparse_rate: float
    seed: int | None
    blocks: tuple[int, ...] | None
    adapted: dict[str, str]
    train: tuple[str, ...]
    freeze: tuple[str, ...] = ()

    def settings(self) -> dict[str, Any]:
        """`SETTINGS` with their values, as JSON has them; `freeze` only where something is."""
        values = {key: getattr(self, key) for key in SETTINGS} | ({"freeze": self.freeze} if self.freeze else {})
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


@dataclass(kw_only=True)
class AdapterState:
    """All adapters of a model; kept on it as `model._frod`.

    Attributes
    ----------
    layers : dict of str to str
        Name in this model -> canonical name, of all layers of the basis, adapted or not.
    active : str
        The adapter in use; empty within `disabled`.
    required_grad : frozenset of str
        Parameters that required a gradient before, to restore on merging.
    heads : dict
        Modules that train in full, of the adapters that are not in use: adapter -> name of the module -> module.
    original : dict of str to nn.Module
        Those modules as they were before the first adapter trained them.
    buffers : dict of str to Tensor
        The model's persistent buffers as they were before the first adapter, in main memory.
    statistics : dict
        Of the adapters that are not in use, the buffers that their training changed: adapter -> name -> values.
    hooks : list
        By which the model is saved and restored: see `frod.method.state_dict`.
    """

    layers: dict[str, str]
    required_grad: frozenset[str]
    basis: Basis
    adapters: dict[str, AdapterConfig] = field(default_factory=dict)
    active: str = ""
    heads: dict[str, dict[str, nn.Module]] = field(default_factory=dict)
    original: dict[str, nn.Module] = field(default_factory=dict)
    buffers: dict[str, Tensor] = field(default_factory=dict)
    statistics: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    hooks: list[Any] = field(default_factory=list)


def find_state(model: nn.Module) -> AdapterState | None:
    """The adapters of the model, if it has any."""
    return cast("AdapterState | None", getattr(unwrapped(model), "_frod", None))


def get_state(model: nn.Module) -> AdapterState:
    """The adapters of the model; an error if it has none."""
    state = find_state(model)
    if state is None:
        raise ValueError(f"this {type(model).__name__} has no FRoD adapter; attach one first.")
    return state


def get_adapter(model: nn.Module) -> AdapterConfig:
    """The adapter in use; an error if there is none."""
    state = get_state(model)
    if not state.active:
        raise ValueError("the model's adapters are disabled here; leave `with frod.disabled(model)` first.")
    return state.adapters[state.active]


def frod_layers(model: nn.Module) -> Iterator[tuple[str, FrodLinear]]:
    """The layers that the adapter in use adapts, by canonical name."""
    inner = unwrapped(model)
    for name, canonical in get_adapter(model).adapted.items():
        yield canonical, cast(FrodLinear, inner.get_submodule(name))


def adapter_tensors(model: nn.Module) -> Iterator[tuple[str, str, nn.Parameter]]:
    """Lambda and S of the adapter in use, as far as they train: the layer's canonical name, the group, its numbers."""
    groups = [group for group in GROUPS if group not in get_adapter(model).freeze]
    for name, layer in frod_layers(model):
        for group in groups:
            yield name, group, getattr(layer, group)


def remove_adapter(model: nn.Module, name: str) -> None:
    """Take an adapter that is not in use off the model, if it is on it."""
    state = get_state(model)
    for layer in all_layers(model):
        if name in layer.adapters:
            del layer.adapters[name]
    for kept in (state.adapters, state.heads, state.statistics):
        kept.pop(name, None)


def head_parameters(model: nn.Module) -> list[Tensor]:
    """Parameters of the modules that train in full."""
    inside = tuple(f"{prefix}." for prefix in get_adapter(model).train)
    return [parameter for name, parameter in unwrapped(model).named_parameters() if name.startswith(inside)]


def head_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers of what trains in full, by their names in the model."""
    result: dict[str, Tensor] = {}
    for prefix in get_adapter(model).train:
        state = unwrapped(model).get_submodule(prefix).state_dict(keep_vars=True)
        result |= {f"{prefix}.{name}": tensor for name, tensor in state.items()}
    return result


def changed_buffers(model: nn.Module) -> dict[str, Tensor]:
    """The buffers outside the head that training changed with the adapter in use, by their names in the plain model."""
    return running_state.changed(unwrapped(model), get_state(model).buffers, get_adapter(model).train)


def set_adapter(model: nn.Module, name: str) -> nn.Module:
    """Use another of the model's adapters, in place: its lambda and S, its head and statistics; only these train.

    Returns the same model. ValueError if it has no adapter of that name (those it has are listed), or is wrapped for
    several processes already: the wrapper has taken note of which parameters train.
    """
    state, inner = get_state(model), unwrapped(model)
    if name not in state.adapters:
        raise ValueError(f"name={name!r} is none of the model's adapters: {', '.join(state.adapters)}.")
    get_adapter(model)  # refuses within `disabled`
    if name != state.active:
        if is_distributed(model):
            raise ValueError(
                f"name={name!r}: the model is wrapped for several processes to train {state.active!r}. Set the "
                "adapter before it is wrapped, or, under DistributedDataParallel and to evaluate, on its `module`."
            )
        stash_heads(inner, state)
        restore_heads(inner, state, name)
    use(inner)
    return model


@contextmanager
def disabled(model: nn.Module) -> Iterator[nn.Module]:
    """A context in which the model is the pretrained one: frozen weights, the head and statistics from before `attach`.

    It serves as the reference model of the fine-tuned one (DPO, distillation) without a second copy. The outputs are
    the pretrained model's to the bit; of a fused q, k and v to rounding. Nothing of it trains. Afterwards all is as it
    was: also gradients, and a step under `accumulating`. Adapters cannot be added, switched, saved or merged within;
    a backward pass of them belongs outside. ValueError if the model has none.
    """
    state, inner = get_state(model), unwrapped(model)
    if not state.active:  # within another one
        yield model
        return
    name, train = state.active, get_adapter(model).train
    layers = [layer for layer in all_layers(inner) if layer.active is not None]
    stash_heads(inner, state)
    for prefix in train:
        inner.get_submodule(prefix).requires_grad_(False)
    state.active = ""
    for layer in layers:
        layer.active = None  # not by `use`, which drops the gradients that wait under `accumulating`
    try:
        yield model
    finally:
        for layer in layers:
            layer.active = name
        running_state.set_to(inner, state.buffers, train)
        restore_heads(inner, state, name)


def restore_heads(model: nn.Module, state: AdapterState, name: str) -> None:
    """Undo `stash_heads`, and have the adapter be the one in use."""
    for prefix, module in state.heads.pop(name).items():
        _place(model, prefix, module)
    running_state.set_to(model, state.statistics.pop(name))
    state.active = name


def use(model: nn.Module) -> None:
    """Have the layers compute with the active adapter, and only that and its head train."""
    model.requires_grad_(False)
    for layer in all_layers(model):
        layer.use(get_state(model).active)
    for parameter in [*(tensor for _, _, tensor in adapter_tensors(model)), *head_parameters(model)]:
        parameter.requires_grad_(True)
    # DistributedDataParallel would send V and the patterns, which every process has, at every forward.
    set_ddp_leaves_alone(model, ddp_leaves_alone(model) | own_buffers(model))


def own_buffers(model: nn.Module) -> set[str]:
    """Names of the buffers that came with the adapters: basis, patterns, U."""
    names = set()
    for name, layer in model.named_modules():
        if isinstance(layer, FrodLinear):
            buffers = {buffer for buffer, _ in layer.named_buffers(remove_duplicate=False)} | {"Ut"}
            names |= {f"{name}.{buffer}" for buffer in buffers if not buffer.startswith("base.")}
    return names


def stash_heads(model: nn.Module, state: AdapterState) -> None:
    """Keep the active adapter's head and statistics aside, and put the original ones in their place."""
    if not state.active:
        return
    train = state.adapters[state.active].train
    changed = running_state.changed(model, state.buffers, train)
    state.statistics[state.active] = {name: tensor.detach().clone() for name, tensor in changed.items()}
    running_state.set_to(model, state.buffers, train)
    state.heads[state.active] = {prefix: model.get_submodule(prefix) for prefix in train}
    # Copied together: modules that are tied to each other stay so.
    for prefix, module in copy.deepcopy({prefix: state.original[prefix] for prefix in train}).items():
        _place(model, prefix, module)


def remember_heads(model: nn.Module, state: AdapterState, train: Sequence[str]) -> None:
    """Keep the modules that are going to train as they are, in main memory."""
    here = copy.deepcopy({prefix: model.get_submodule(prefix) for prefix in train})  # together: see `stash_heads`
    state.original |= {prefix: module.to("cpu") for prefix, module in here.items()}


def _place(model: nn.Module, prefix: str, module: nn.Module) -> None:
    here = model.get_submodule(prefix)
    first: Tensor | None = next(here.parameters(), None)
    if first is not None:
        module.to(first.device)
    for mine, present in zip(_tensors(module), _tensors(here)):  # the model may have been cast meanwhile
        if mine.dtype != present.dtype:
            mine.data = mine.data.to(present.dtype)
    model.set_submodule(prefix, module.train(here.training))


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    return chain(module.parameters(), module.buffers())
