"""Any method of peft, named by its configuration class; its adapters go to the same layers as FRoD's."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from frod.config import Method
from frod.config.schema import did_you_mean
from frod.method.heads import within
from frod.training.methods.trained import body_and_head, train_only_head

if TYPE_CHECKING:
    import peft
    from torch import nn

groups = body_and_head

# Arguments that some classes draw fixed projections or places by: from the run's seed, unless the suite gives them.
SEEDS = ("projection_prng_key", "projection_seed", "proj_seed", "random_loc_seed", "random_seed")

# Layers whose input is the inner activation of a feed-forward block: there IA3 scales the input, elsewhere the output.
FEEDFORWARD = ("fc2", "down_proj", "mlp.c_proj", "output.dense")
NOT_FEEDFORWARD = ("attention.output.dense",)

# What apply cannot give: calls in the middle of the training, or layers of another kind than the targets.
UNFIT = {
    "AdaLoraConfig": "its ranks are moved between layers by calls during the training",
    "LNTuningConfig": "it trains the targets themselves, and is meant for the norms, not for linear layers",
    "TrainableTokensConfig": "it trains rows of the embedding",
}


def apply(model: nn.Module, adapter: Method, *, targets, head, basis, seed) -> None:
    """Put the adapters in place, their numbers in float32 whatever the model's dtype, as FRoD's.

    ValueError where the class is unknown to peft, does not adapt layers, or does not take an argument or a layer.
    """
    from frod.method import targets as target_layers

    layers = target_layers.modules_of(target_layers.find(model, targets))
    inject(model, configuration(adapter, layers, seed), seed)
    adapters = {name for name, p in model.named_parameters() if p.requires_grad and not within(name, *head)}
    if not adapters:
        raise ValueError(f"methods: {adapter.config} with {adapter.arguments} leaves nothing to train outside the head")
    train_only_head(model, head, also=adapters)


def _library() -> ModuleType:
    """Import peft. It imports bitsandbytes where that is installed, which warns of a faster kernel that it lacks."""
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    import peft

    return peft


def configuration_class(name: str | None) -> type[peft.PeftConfig]:
    """Return the class of this name; ValueError where peft has none, or it does not adapt layers."""
    peft = _library()
    kind = getattr(peft, name or "", None)
    if not (isinstance(kind, type) and issubclass(kind, peft.PeftConfig)):
        known = sorted(n for n in dir(peft) if n.endswith("Config") and n != "PeftConfig")
        meant = did_you_mean(name or "", known)
        raise ValueError(f"methods: config {name!r} is no configuration class of peft{meant or f'; there are {known}'}")
    unfit = UNFIT.get(kind.__name__) or (None if "target_modules" in fields(kind) else "it has no target_modules")
    if unfit:
        raise ValueError(f"methods: config {name!r} cannot be used here: {unfit}; take one that adapts linear layers")
    return kind


def fields(kind: type[peft.PeftConfig]) -> set[str]:
    """Names of the arguments of a configuration class."""
    return set(kind.__dataclass_fields__)


def configuration(adapter: Method, layers: Sequence[str], seed: int) -> peft.PeftConfig:
    """Return peft's configuration of a method for the modules of these names."""
    kind = configuration_class(adapter.config)
    for name, value in adapter.arguments.items():
        if name not in fields(kind):
            meant = _meant(name, fields(kind))
            raise ValueError(f"methods: arguments.{name}: {adapter.config} has no such argument{meant}")
        declared = kind.__dataclass_fields__[name].type
        whole = name == adapter.size_argument
        if declared in ("int", "float", int, float) and not isinstance(value, int if whole else int | float):
            raise ValueError(f"methods: arguments.{name}: should be a {'whole ' * whole}number, is {value!r}")
    derived: dict[str, Any] = {name: seed % 2**31 for name in SEEDS if name in fields(kind)}
    if "feedforward_modules" in fields(kind):
        inner = [name for name in layers if name.endswith(FEEDFORWARD) and not name.endswith(NOT_FEEDFORWARD)]
        derived["feedforward_modules"] = inner
    try:
        return kind(**{"target_modules": list(layers)} | derived | adapter.arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"methods: {adapter.config} does not take these arguments: {error}") from None


def _meant(name: str, known: set[str]) -> str:
    """Suggest peft's own name of an argument: a rank is `r`, and alpha and dropout begin with the method's name."""
    short = "r" if "rank" in name and "r" in known else next((n for n in sorted(known) if n.endswith(f"_{name}")), None)
    return f"; did you mean {short!r}?" if short else did_you_mean(name, sorted(known))


def inject(model: nn.Module, config: peft.PeftConfig, seed: int) -> None:
    """Put adapters of this configuration into the model; the global generator is left as it was."""
    import torch

    peft = _library()
    from peft.tuners.tuners_utils import BaseTuner

    name = type(config).__name__
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")  # peft's own call, not the user's
        torch.manual_seed(seed)  # peft initialises from the global generator
        try:
            # Not inject_adapter_in_model, which refuses what layers share (VeRA) and leaves adapters in half precision.
            wrapper = peft.get_peft_model(model, config)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise ValueError(f"methods: {name} cannot adapt these layers of {type(model).__name__}: {error}") from error
    if type(wrapper.base_model).forward is not BaseTuner.forward:
        raise ValueError(f"methods: {name} works outside of the layers it adapts, which is not supported")
    inside = {id(parameter) for parameter in model.parameters()}
    if any(id(parameter) not in inside for parameter in wrapper.parameters()):
        raise ValueError(f"methods: {name} keeps numbers outside of the layers it adapts, which is not supported")
