"""What an adapted model is saved as and restored from by code that knows nothing of adapters.

transformers' `save_pretrained`, which the Trainer calls for its checkpoints, writes W' under the plain names, so that
`from_pretrained` gives the fine-tuned model, and the adapter's tensors with it. From these the adapted model's own
`load_state_dict` restores what was trained, bit for bit: W' is rounded, so the frozen weight stays the one it has.

`state_dict` itself keeps the frozen weight and the adapter apart. What wraps a model (FSDP2, accelerate) takes it to
pieces and puts it together by its state, and W' would not give the frozen weight back.

Shapes: m out_features, n in_features, k entries of S.
"""

import copy
import hashlib
import json
from collections.abc import Collection, Iterator
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from frod.method.basis import without_autocast
from frod.method.fused import FrodFused
from frod.method.identity import update
from frod.method.linear import FrodLinear, all_layers
from frod.method.state import AdapterState, find_state, get_state
from frod.method.targets import ROLES, FusedSlice, fused_slice
from frod.method.wrappers import copy_into, full_tensor, is_sharded

# Name of the entries that belong to no module of the model.
ENTRY = "frod"
State = dict[str, Any]


def follow(model: nn.Module, adapters: AdapterState) -> None:
    """Have a model that gets its first adapter be saved and restored as this file says."""
    adapters.hooks = [
        model.register_state_dict_post_hook(_describe),
        model.register_load_state_dict_pre_hook(_take),
    ]
    for module in _savers(model):
        cast(Any, module).save_pretrained = partial(save_pretrained, module)


def leave(model: nn.Module, adapters: AdapterState) -> None:
    """Undo `follow`."""
    for hook in adapters.hooks:
        hook.remove()
    for module in _savers(model):
        del cast(Any, module).save_pretrained


def _savers(model: nn.Module) -> Iterator[nn.Module]:
    """The transformers models in a model, told by name, not by import."""
    for module in model.modules():
        bases = [(base.__name__, base.__module__.partition(".")[0]) for base in type(module).__mro__]
        if ("PreTrainedModel", "transformers") in bases:
            yield module


def save_pretrained(
    model: nn.Module, save_directory: Any, is_main_process: bool = True, state_dict: State | None = None, **options: Any
) -> None:
    """transformers' method of this name, with W' in the place of the frozen weights.

    ValueError if W' cannot be written under the plain name: of quantised weights, and those that follow from others.
    """
    if getattr(model, "hf_quantizer", None) is not None:
        raise ValueError(
            f"this {type(model).__name__} is quantised, and a merged weight would have to be rounded to its grid; keep "
            "the adapter apart: frod.save_adapter."
        )
    state = model.state_dict() if state_dict is None else dict(state_dict)
    settings = _settings(model)
    if state and settings:
        state[f"{ENTRY}.settings"] = torch.frombuffer(bytearray(json.dumps(settings).encode()), dtype=torch.uint8)
    fold(model, state)
    cast(Any, type(model)).save_pretrained(
        model, save_directory, is_main_process=is_main_process, state_dict=state, **options
    )


@torch.no_grad()
def fold(model: nn.Module, state: State) -> None:
    """Replace the frozen weights of adapted layers in a state by W', under the names of the plain model.

    Of a model that FSDP2 shards, all processes have to call this, those that are given no tensors, too.
    """
    for name, layer in _holders(model):
        if any(key.startswith(f"{name}.base.") for key in state) and not _can_fold(layer, state, name):
            raise ValueError(
                f"layer {name!r} is quantised, or its weight follows from other parameters, and W' cannot be written "
                "in its place; keep the adapter apart: frod.save_adapter."
            )
    plain = _plain(model, state)
    for name, _ in _holders(model):
        for key in [key for key in state if key.startswith(f"{name}.base.")]:
            del state[key]
    state.update(plain)


def _can_fold(layer: FrodLinear | FrodFused, state: State, path: str) -> bool:
    """Whether a state has the frozen weight itself under the name of one."""
    return f"{path}.base.weight" in state and not (isinstance(layer, FrodLinear) and layer.quantised)


def _plain(model: nn.Module, state: State, prefix: str = "") -> State:
    """W' and bias of the adapted layers, under the names of the plain model."""
    plain: State = {}
    for name, layer in _holders(model):
        path = f"{prefix}{name}"
        if _can_fold(layer, state, path):
            with without_autocast():
                plain[f"{path}.weight"] = _folded(layer, state, path)
            if f"{path}.base.bias" in state:
                plain[f"{path}.bias"] = state[f"{path}.base.bias"]
    return plain


def _holders(model: nn.Module) -> Iterator[tuple[str, FrodLinear | FrodFused]]:
    """The modules that stand in the place of a plain layer."""
    for name, module in model.named_modules():
        if isinstance(module, FrodFused) or (
            isinstance(module, FrodLinear) and not isinstance(module.base, FusedSlice)
        ):
            yield name, module


def _folded(layer: FrodLinear | FrodFused, state: State, name: str) -> Tensor:
    """W' from the tensors of a state, in the layout, dtype and place of the frozen weight there."""
    frozen = full_tensor(state[f"{name}.base.weight"])
    if isinstance(layer, FrodLinear):
        return _changed(layer, frozen, state, name)
    plain = copy.copy(layer.base)
    plain._parameters = {"weight": nn.Parameter(frozen, requires_grad=False), "bias": None}
    thirds = []
    for role in ROLES:
        third, adapted = fused_slice(plain, role).weight, layer._modules.get(role)
        thirds.append(_changed(adapted, third, state, f"{name}.{role}") if isinstance(adapted, FrodLinear) else third)
    return torch.cat(thirds)


def _changed(layer: FrodLinear, frozen: Tensor, state: State, name: str) -> Tensor:
    """W' of one layer, by a copy of it, which is dropped again with the U that it forms."""
    if layer.active is None:
        return frozen
    plain = copy.copy(layer.base.layer if isinstance(layer.base, FusedSlice) else cast(nn.Module, layer.base))
    device = layer.lambda_0.device
    plain._parameters = {"weight": nn.Parameter(frozen.to(device), requires_grad=False), "bias": None}
    double = FrodLinear(plain, layer.shared, category=layer.category, lambda_0=layer.lambda_0, solve=layer.solve)
    double.add_adapter(layer.active, layer.adapter.pattern)
    for own in ("scale", "rotation"):
        getattr(double, own).copy_(full_tensor(state[f"{name}.adapters.{layer.active}.{own}"]))
    # A device has room for one model, not always for two.
    return double.form_weight().cpu()


def _settings(model: nn.Module) -> dict[str, Any]:
    """What the adapters of a model rest on, by adapter; as JSON has it."""
    adapters = find_state(model)
    if adapters is None:
        return {}
    settings: dict[str, Any] = {}
    for name, config in adapters.adapters.items():
        settings[name] = config.settings()
        if config.seed is None:
            settings[name]["patterns"] = _patterns_digest(model, config.adapted, name)
    return {"active": adapters.active, "adapters": settings}


def _patterns_digest(model: nn.Module, adapted: dict[str, str], adapter: str) -> str:
    """Identify patterns that follow from no seed."""
    digest = hashlib.sha256()
    for name, canonical in sorted(adapted.items(), key=lambda item: item[1]):
        layer = cast(FrodLinear, model.get_submodule(name))
        update(digest, canonical, torch.stack(cast(Any, layer.adapters[adapter]).pattern.places()))
    return digest.hexdigest()


@torch.no_grad()
def _describe(model: nn.Module, state: State, prefix: str, local_metadata: dict[str, Any]) -> None:
    """Add to a state what its tensors do not say: what the adapters rest on, heads and statistics not in use."""
    local_metadata[ENTRY] = _settings(model)
    if any(isinstance(tensor, nn.Parameter) or is_sharded(tensor) for tensor in state.values()):
        return  # the tensors themselves were asked for (keep_vars), or what each process has of them
    for key, tensor in _not_in_use(get_state(model)).items():
        state[f"{prefix}{ENTRY}.{key}"] = tensor.detach()
    if set(prefix.split(".")) - {"", "module", "_orig_mod"}:
        # Of a larger model, whose `save_pretrained` is not ours. The frozen weights stay, too, as everywhere else;
        # safetensors refuses tensors that share memory.
        state |= {key: tensor.clone() for key, tensor in _plain(model, state, prefix).items()}


def _not_in_use(adapters: AdapterState) -> dict[str, Tensor]:
    """heads.ADAPTER.MODULE.NAME and statistics.ADAPTER.NAME of the adapters that are not in use."""
    tensors: dict[str, Tensor] = {}
    for adapter, modules in adapters.heads.items():
        for prefix, module in modules.items():
            tensors |= {f"heads.{adapter}.{prefix}.{key}": tensor for key, tensor in module.state_dict().items()}
    for adapter, values in adapters.statistics.items():
        tensors |= {f"statistics.{adapter}.{name}": tensor for name, tensor in values.items()}
    return tensors


def _take(model: nn.Module, state: State, prefix: str, local_metadata: dict[str, Any], *_: Any) -> None:
    """Give the entries of a state the names that the adapted model has for them, once it is known to fit."""
    adapters = get_state(model)
    entries = _entries(state, prefix, adapters.adapters)
    stored = entries.get("settings")
    settings = local_metadata.get(ENTRY) if stored is None else json.loads(bytes(stored.tolist()))
    if settings is not None:
        _check_settings(settings, _settings(model))
    holders = {f"{prefix}{name}": layer for name, layer in _holders(model)}
    _check_weights(holders, state)
    for name, layer in holders.items():
        if f"{name}.bias" in state:
            state.setdefault(f"{name}.base.bias", state.pop(f"{name}.bias"))
        if state.pop(f"{name}.weight", None) is not None:
            state.setdefault(f"{name}.base.weight", layer.base.weight)
    for key, tensor in _not_in_use(adapters).items():
        if key.startswith("heads.") and key in entries:
            copy_into(tensor, entries[key])
    for adapter, values in adapters.statistics.items():
        beginning = f"statistics.{adapter}."
        values |= {k.removeprefix(beginning): t.clone() for k, t in entries.items() if k.startswith(beginning)}
    for layer in all_layers(model):
        layer.drop_cache()


def _entries(state: State, prefix: str, adapters: Collection[str]) -> State:
    """Take the entries that belong to no module out of a state; some models prefix all names on loading.

    A module in the model, or the one around it, may have the same name: what follows it tells.
    """
    entries: State = {}
    for key in [key for key in state if key.startswith(prefix)]:
        _, _, rest = f".{key.removeprefix(prefix)}".partition(f".{ENTRY}.")
        kind, _, of = rest.partition(".")
        if rest == "settings" or (kind in ("heads", "statistics") and of.partition(".")[0] in adapters):
            entries[rest] = state.pop(key)
    return entries


def _check_settings(theirs: dict[str, Any], here: dict[str, Any]) -> None:
    if theirs["adapters"].keys() != here["adapters"].keys():
        raise ValueError(
            f"the state is of a model with the adapters {sorted(theirs['adapters'])}, this one has "
            f"{sorted(here['adapters'])}; attach the same."
        )
    for name, of in theirs["adapters"].items():
        for key in sorted(of.keys() | here["adapters"][name].keys()):
            if of.get(key) != here["adapters"][name].get(key):
                raise ValueError(
                    f"the state is of an adapter {name!r} with {key}={of.get(key)!r}, that of this model has "
                    f"{key}={here['adapters'][name].get(key)!r}; attach it as it was, with the basis it was trained on."
                )
    if theirs["active"] != here["active"]:
        raise ValueError(
            f"the state is of a model that used the adapter {theirs['active']!r}, this one uses {here['active']!r}; "
            f"set_adapter(model, {theirs['active']!r}) first."
        )


def _check_weights(holders: dict[str, FrodLinear | FrodFused], state: State) -> None:
    """Refuse frozen weights, or all the weights of a plain model, that are not those the adapter was attached to.

    A plain name with an adapter's tensors is W', and so it is in one of several files that hold a state together.
    """
    plain = all(f"{name}.weight" in state for name in holders)
    plain = plain and not any(key.startswith(f"{name}.") and ".adapters." in key for name in holders for key in state)
    for name, layer in holders.items():
        given = state.get(f"{name}.base.weight", state.get(f"{name}.weight") if plain else None)
        own = cast(Tensor, layer.base.weight)
        if given is None or is_sharded(given) or is_sharded(own) or own.is_meta or given.shape != own.shape:
            continue
        if not torch.equal(given.to(own), own):
            raise ValueError(
                f"the state has another weight {name!r} than the frozen one below the adapter. Load weights before "
                "attach; to load a fine-tuned state, attach to the model it was trained from."
            )
