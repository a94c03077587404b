"""What is attached to a model, under which names, and which of it is in use."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor, nn

from frod.method import statistics
from frod.method.basis import Basis
from frod.method.linear import FrodLinear
from frod.method.waiting import Step
from frod.method.wrappers import ddp_leaves_alone, is_distributed, set_ddp_leaves_alone, unwrapped


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """One adapter of a model.

    Attributes
    ----------
    basis_digest, model_hash : str
        Which basis, and which frozen weights.
    seed : int, or None
        What the pattern was drawn from; None if it was given.
    blocks : tuple of int, or None
        Which blocks are adapted; None for all.
    adapted : dict of str to str
        Name of each adapted layer in this model -> its canonical name.
    train : tuple of str
        Modules that train in full besides: the head.
    """

    basis_digest: str
    model_hash: str
    targets: tuple[str, ...] | str
    ridge: float
    sparse_rate: float
    seed: int | None
    blocks: tuple[int, ...] | None
    adapted: dict[str, str]
    train: tuple[str, ...]


@dataclass(kw_only=True)
class Attached:
    """All adapters of a model; kept on it as `model._frod`.

    Attributes
    ----------
    layers : dict of str to str
        Name in this model -> canonical name, of all layers of the basis, adapted or not.
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
    basis : Basis
        That all adapters of the model are on, to save it beside one of them.
    hooks : list
        By which the model is saved and restored: see `frod.method.states`.
    """

    layers: dict[str, str]
    required_grad: frozenset[str]
    basis: Basis
    adapters: dict[str, Attachment] = field(default_factory=dict)
    active: str = ""
    heads: dict[str, dict[str, nn.Module]] = field(default_factory=dict)
    original: dict[str, nn.Module] = field(default_factory=dict)
    buffers: dict[str, Tensor] = field(default_factory=dict)
    statistics: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    hooks: list[Any] = field(default_factory=list)


def attached_to(model: nn.Module) -> Attached | None:
    """All that is attached to the model, if anything."""
    return cast("Attached | None", getattr(unwrapped(model), "_frod", None))


def attachment_of(model: nn.Module) -> Attachment | None:
    """The adapter in use, if there is any."""
    attached = attached_to(model)
    return None if attached is None else attached.adapters[attached.active]


def required_attachment(model: nn.Module) -> Attachment:
    """The adapter in use; an error if nothing is attached."""
    attachment = attachment_of(model)
    if attachment is None:
        raise ValueError(f"this {type(model).__name__} has no FRoD adapter; attach one first.")
    return attachment


def frod_layers(model: nn.Module) -> Iterator[tuple[str, FrodLinear]]:
    """The layers that the adapter in use adapts, by canonical name."""
    inner = unwrapped(model)
    for name, canonical in required_attachment(model).adapted.items():
        yield canonical, cast(FrodLinear, inner.get_submodule(name))


def all_layers(model: nn.Module) -> list[FrodLinear]:
    """The adapted layers of all adapters, each once."""
    return [module for module in model.modules() if isinstance(module, FrodLinear)]


def remove_adapter(model: nn.Module, name: str) -> None:
    """Take an adapter that is not in use off the model, if it is on it."""
    attached = cast(Attached, attached_to(model))
    for layer in all_layers(unwrapped(model)):
        if name in layer.adapters:
            del layer.adapters[name]
    for kept in (attached.adapters, attached.heads, attached.statistics):
        kept.pop(name, None)


def head_parameters(model: nn.Module, prefixes: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """Parameters of the modules named."""
    for name, parameter in unwrapped(model).named_parameters():
        if any(name.startswith(prefix + ".") for prefix in prefixes):
            yield name, parameter


def head_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers of what trains in full, by their names in the model."""
    result: dict[str, Tensor] = {}
    for prefix in required_attachment(model).train:
        state = unwrapped(model).get_submodule(prefix).state_dict(keep_vars=True)
        result |= {f"{prefix}.{name}": tensor for name, tensor in state.items()}
    return result


def changed_buffers(model: nn.Module) -> dict[str, Tensor]:
    """The buffers outside the head that training changed with the adapter in use, by their names in the plain model."""
    attached = cast(Attached, attached_to(model))
    return statistics.changed(unwrapped(model), attached.buffers, required_attachment(model).train)


def set_adapter(model: nn.Module, name: str) -> nn.Module:
    """Use another of the model's adapters, in place: its lambda and S, its head and statistics; only these train.

    Parameters
    ----------
    model : nn.Module
        With adapters.
    name : str
        As given to `attach`.

    Returns
    -------
    nn.Module
        The same model.

    Raises
    ------
    ValueError
        If the model has no adapter of that name (those it has are listed), or is wrapped for several processes
        already: the wrapper has taken note of which parameters train.
    """
    required_attachment(model)
    inner, attached = unwrapped(model), cast(Attached, attached_to(model))
    if name not in attached.adapters:
        raise ValueError(f"name={name!r} is none of the model's adapters: {', '.join(attached.adapters)}.")
    if name != attached.active:
        if is_distributed(model):
            raise ValueError(
                f"name={name!r}: the model is wrapped for several processes to train {attached.active!r}. Set the "
                "adapter before it is wrapped, or, under DistributedDataParallel and to evaluate, on its `module`."
            )
        put_away(inner, attached)
        for prefix, module in attached.heads.pop(name).items():
            _place(inner, prefix, module)
        statistics.set_to(inner, attached.statistics.pop(name))
        attached.active = name
    use(inner, attached)
    return model


def use(model: nn.Module, attached: Attached) -> None:
    """Have the layers compute with the active adapter, and only that and its head train."""
    model.requires_grad_(False)
    for layer in all_layers(model):
        layer.use(attached.active)
        if layer.active is not None:
            layer.adapter.requires_grad_(True)
    for _, parameter in head_parameters(model, attached.adapters[attached.active].train):
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


def put_away(model: nn.Module, attached: Attached) -> None:
    """Keep the active adapter's head and statistics aside, and put the original ones in their place."""
    if not attached.active:
        return
    train = attached.adapters[attached.active].train
    changed = statistics.changed(model, attached.buffers, train)
    attached.statistics[attached.active] = {name: tensor.detach().clone() for name, tensor in changed.items()}
    statistics.set_to(model, attached.buffers, train)
    attached.heads[attached.active] = {prefix: model.get_submodule(prefix) for prefix in train}
    # Copied together: modules that are tied to each other stay so.
    for prefix, module in copy.deepcopy({prefix: attached.original[prefix] for prefix in train}).items():
        _place(model, prefix, module)


def refuse_other_heads(attached: Attached, train: Sequence[str]) -> None:
    """Refuse modules that lie within, or around, those that another adapter trains."""
    for prefix in train:
        for other in attached.original:
            if other != prefix and (other + ".").startswith(prefix + ".") | (prefix + ".").startswith(other + "."):
                raise ValueError(f"train names {prefix!r}, another adapter of this model {other!r}: name the same.")


def remember_heads(model: nn.Module, attached: Attached, train: Sequence[str]) -> None:
    """Keep the modules that are going to train as they are, in main memory."""
    here = copy.deepcopy({prefix: model.get_submodule(prefix) for prefix in train})  # together: see `put_away`
    attached.original |= {prefix: module.to("cpu") for prefix, module in here.items()}


def _place(model: nn.Module, prefix: str, module: nn.Module) -> None:
    here = model.get_submodule(prefix)
    first: Tensor | None = next(here.parameters(), None)
    if first is not None:
        module.to(first.device)
    model.set_submodule(prefix, module.train(here.training))


@contextmanager
def accumulating(model: nn.Module, micro_batches: int = 2) -> Iterator[None]:
    """Around the forward and backward of every micro-batch of an optimiser step but the last.

    The weights are then formed once a step, and their gradients summed and projected once, in the last micro-batch,
    which runs outside. It goes together with `no_sync` of a distributed wrapper, and does nothing to a model without
    adapters. The gradients are those of the joined batch, up to the order of summation, also of a layer that the last
    micro-batch does not use.

    Parameters
    ----------
    model : nn.Module
        With an adapter, or a wrapper of one: what is called in the last micro-batch.
    micro_batches : int
        How many there are in the step, the last one included: the planner counts their tokens together.

    Raises
    ------
    ValueError
        If a layer had no part in the last micro-batch of the step before and its gradient could not be taken up: with
        reentrant gradient checkpointing of a model that is not called as a whole; and at the end of that micro-batch
        with FSDP2.
    """
    layers = all_layers(model)
    for before in {layer.step for layer in layers if layer.step is not None}:
        before.check_over()
        before.end()
    for layer in layers:
        layer.accumulating, layer.micro_batches = True, micro_batches
    try:
        yield
    except BaseException:
        for layer in layers:
            layer.forget()
        raise
    finally:
        step = Step(model, layers) if any(layer.waits for layer in layers) else None
        for layer in layers:
            layer.accumulating, layer.micro_batches, layer.step = False, 1, step


def shared_bases(layers: Sequence[FrodLinear]) -> dict[tuple[Any, ...], Any]:
    """The shared bases that layers of a model hold already, by category, device and dtype."""
    return {(layer.category, layer.shared.Vt.device, layer.shared.Vt.dtype): layer.shared for layer in layers}
