"""How many parameters train, under every convention in which such shares are quoted."""

from collections import Counter
from collections.abc import Sequence

from torch import nn

from frod.method import heads, pattern
from frod.method.identity import without_zeros
from frod.method.linear import all_layers
from frod.method.quantised import is_quantised, numel
from frod.method.shares import shares
from frod.method.state import adapter_tensors, find_state, frod_layers, get_adapter, get_state, head_tensors
from frod.method.targets import Targets, find, in_features

Counts = dict[str, int | float]


def count_parameters(model: nn.Module) -> Counts:
    """Count what an adapted model trains.

    Returns
    -------
    dict
        Counts: "adapter", "head" (what trains in full), "trainable" (both), "base" (all else, that is the frozen model
        without its head). Shares in percent, named by their fraction as in `frod.method.shares`: "adapter/base %",
        "(adapter+head)/(base+adapter+head) %" (what peft prints) and others.
    """
    adapter = sum(parameter.numel() for _, _, parameter in adapter_tensors(model))
    parameters = {id(parameter) for parameter in model.parameters()}
    in_full = {id(tensor): tensor.numel() for tensor in head_tensors(model).values()}
    head = sum(size for tensor, size in in_full.items() if tensor in parameters)
    of_all = sum(p.numel() for layer in all_layers(model) for p in layer.adapters.parameters())
    return _conventions(adapter=adapter, head=head, everything=_numel(model) - of_all)


def summary(model: nn.Module) -> str:
    """One line on the adapter in use: categories and their layers, sparse rate, seed, what trains in full, counts."""
    adapter, kind = get_adapter(model), get_state(model).basis.kind
    categories = Counter(layer.category for _, layer in frod_layers(model))
    counts = count_parameters(model)
    if kind == "layer_svd":
        layers = f"{len(categories)} layers, each on its own singular vectors"
    else:
        layers = ", ".join(f"{name} ({count})" for name, count in categories.items())
        layers += "" if kind == "shared" else f", basis {kind}"
    return (
        f"FRoD on {layers}; sparse rate {adapter.sparse_rate:g}, seed {adapter.seed}"
        + (f", {' and '.join(adapter.freeze)} frozen" if adapter.freeze else "")
        + "; in full: "
        + (", ".join(adapter.train) or "nothing")
        + f"; {counts['trainable']:,} trainable parameters, {counts['adapter']:,} of them outside the head, which is "
        f"{counts['adapter/base %']:.3g} % of the frozen model's"
    )


def print_trainable_parameters(model: nn.Module) -> None:
    """Print how many parameters train, of how many, and the share, in the line that peft prints."""
    counts = count_parameters(model)
    trainable, everything = counts["trainable"], counts["base"] + counts["trainable"]
    share = 100 * trainable / everything
    print(f"trainable params: {trainable:,d} || all params: {everything:,d} || trainable%: {share:.4f}")


def predict_parameters(
    model: nn.Module,
    targets: Targets = None,
    *,
    sparse_rate: float = 0.01,
    train: Sequence[str] | None = None,
    freeze: Sequence[str] = (),
) -> Counts:
    """Count what an adapter on a plain model would train: as `count_parameters`, from the shapes alone.

    The model may live on the meta device; no basis is needed. Without `train`, the head is the one that `attach` takes.
    """
    if find_state(model) is not None:
        raise ValueError("the model has a FRoD adapter already; count_parameters counts it.")
    found = without_zeros({name: layer for layers in find(model, targets).values() for name, layer in layers.items()})
    adapter = sum(pattern.trained(n, sparse_rate, freeze) for n in map(in_features, found.values()))
    prefixes = heads.find(model, found) if train is None else heads.check(model, train, found)
    in_full = {id(p): p.numel() for prefix in prefixes for p in model.get_submodule(prefix).parameters()}
    return _conventions(adapter=adapter, head=sum(in_full.values()), everything=_numel(model))


def _numel(module: nn.Module) -> int:
    packed = {id(layer.weight): numel(layer) for layer in module.modules() if is_quantised(layer)}
    return sum(packed.get(id(parameter), parameter.numel()) for parameter in module.parameters())


def _conventions(*, adapter: int, head: int, everything: int) -> Counts:
    base = everything - head
    found = shares(adapter=adapter, head=head, base=base).items()
    counts = {"adapter": adapter, "head": head, "trainable": adapter + head, "base": base}
    return counts | {f"{convention} %": 100 * share for convention, share in found}
