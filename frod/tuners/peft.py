"""Any method of peft, named by its configuration class; its adapters go to the same layers as FRoD's."""

from __future__ import annotations

import torch

from frod.config import Method
from frod.method import targets as target_layers
from frod.tuners.trained import body_and_head, in_head, train_only_head


def apply(model, tuner: Method, *, targets, head, basis, seed) -> None:
    """Inject the adapters in place.

    Raises
    ------
    ValueError
        The class is unknown to peft, or does not take an argument.
    """
    import peft

    kind = getattr(peft, tuner.config, None)
    if not (isinstance(kind, type) and issubclass(kind, peft.PeftConfig)):
        known = sorted(n for n in dir(peft) if n.endswith("Config") and n != "PeftConfig")
        raise ValueError(f"methods: config {tuner.config!r} is no configuration class of peft; there are {known}")
    layers = target_layers.modules_of(target_layers.find(model, targets))
    try:
        config = kind(target_modules=layers, **tuner.arguments)
    except TypeError as error:
        raise ValueError(f"methods: {tuner.config} does not take these arguments: {error}") from None
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # peft initialises from the global generator
        peft.inject_adapter_in_model(config, model)
    adapters = {name for name, p in model.named_parameters() if p.requires_grad and not in_head(name, head)}
    train_only_head(model, head, also=adapters)


def groups(model, rates, head, weight_decay) -> list[dict]:
    """Two groups: the adapters and the head."""
    return body_and_head(model, rates.lr, rates.lr_head, head, weight_decay)
