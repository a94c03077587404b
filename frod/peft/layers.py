"""Which layers peft adapts, what it calls them, and how it groups them: by the last parts of a name, and by block."""

from collections.abc import Iterable
from pathlib import Path
from typing import cast

from torch import nn

from frod.method.linear import FrodLinear
from frod.method.quantised import is_quantised
from frod.method.state import find_state, get_adapter, get_state
from frod.method.targets import FusedSlice, Target, canonical_names, find, get, in_features, is_adaptable, is_fused


def category_of_name(name: str) -> str:
    """The category in which peft puts a layer (its `_category_from_key`): mostly the last two parts of the name."""
    parts = name.split(".")
    if len(parts) == 1 or parts[-2].isdigit():
        return parts[-1]
    if parts[-3:] == ["attention", "output", "dense"]:
        return "attention_output"
    return f"{parts[-2]}_{parts[-1]}"


def index_of_name(name: str, otherwise: int) -> int:
    """The block in which peft puts a layer (its `_layer_index_from_key`); it stacks a category in this order."""
    parts = name.split(".")
    if "layers" in parts[:-1] and parts[parts.index("layers") + 1].isdigit():
        return int(parts[parts.index("layers") + 1])
    return next((int(part) for part in parts if part.isdigit()), otherwise)


def grouped_as_peft_does(model: nn.Module) -> dict[str, dict[str, Target]]:
    """The frozen layers of the adapter's basis, by category, as peft will group and order them, if that is as here."""
    position = {name: at for at, (name, _) in enumerate(model.named_modules())}
    names = sorted(get_state(model).layers, key=lambda name: position.get(name, -1))
    grouped: dict[str, dict[int, str]] = {}
    for count, name in enumerate(names):
        category, index = category_of_name(name), index_of_name(name, count)
        other = grouped.setdefault(category, {}).setdefault(index, name)
        if other != name:
            raise ValueError(
                f"peft takes {other!r} and {name!r} for the same layer (category {category!r}, block {index}) and "
                "drops one from its decomposition. Adapt one of them only, or merge and exchange the whole model."
            )
    categories = {
        category: {block[index]: frozen_layer(model, block[index]) for index in sorted(block)}
        for category, block in sorted(grouped.items())
    }
    of_ours: dict[str, str] = {}
    for category, targets in categories.items():
        ours = sorted({layer.category for layer in adapted_layers(model, targets).values()})
        shared = [other for name in ours if (other := of_ours.setdefault(name, category)) != category]
        if len(ours) > 1 or shared or len({in_features(target) for target in targets.values()}) > 1:
            raise ValueError(
                f"peft would group the layers otherwise: its category {category!r} holds layers of {ours}"
                + (f", of which {shared} has some, too" if shared else "")
                + ". Merge the adapter and exchange the whole model instead."
            )
    return categories


def frozen_layer(model: nn.Module, name: str) -> Target:
    """The frozen layer under a name, adapted or not, if peft can adapt it."""
    target = get(model, name)
    base = cast(Target, getattr(target, "base", target))
    if isinstance(base, FusedSlice):
        raise ValueError(f"{name!r} is part of a fused layer, which peft adapts as a whole. Merge the adapter instead.")
    if isinstance(base, nn.Module) and is_quantised(base):
        raise ValueError(f"{name!r} is quantised, and peft has no FRoD over quantised weights.")
    return base


def adapted_layers(model: nn.Module, targets: Iterable[str]) -> dict[str, FrodLinear]:
    """Those of the names that the adapter in use adapts."""
    adapted = get_adapter(model).adapted
    return {name: cast(FrodLinear, model.get_submodule(name)) for name in targets if name in adapted}


def modules_named(model: nn.Module, endings: Iterable[str]) -> list[str]:
    """Modules whose names end so, be it within a word, as peft has it; without those inside another."""
    found: list[str] = []
    for name, _ in model.named_modules():
        if name.endswith(tuple(endings)) and not any(name.startswith(outer + ".") for outer in found):
            found.append(name)
    return found


def target_of(model: nn.Module, name: str, path: Path) -> Target:
    """The frozen layer under a name of peft's."""
    try:
        module = model.get_submodule(name)
    except AttributeError:
        raise ValueError(f"{path} adapts {name!r}, which {type(model).__name__} does not have.") from None
    base = cast(nn.Module, getattr(module, "base", module))
    if is_fused(name, base):
        raise ValueError(
            f"{name!r} holds q, k and v in one weight: peft adapts it as a whole, here each is adapted apart."
        )
    if is_quantised(base) or not is_adaptable(base):
        raise ValueError(
            f"{name!r} is a {type(base).__name__} here; give a model with the weights in floating point that peft had."
        )
    return base


def targets_for(model: nn.Module, names: Iterable[str]) -> tuple[str, ...] | str:
    """Targets that mean just these layers, as short as they come: to serve an encoder alone and within a classifier."""
    if find_state(model) is not None:
        return get_adapter(model).targets
    canonical = canonical_names(names)
    short = tuple(sorted(canonical.values()))
    found = {name for layers in find(model, short).values() for name in layers}
    return short if found == set(canonical) else tuple(sorted(canonical))
