"""What trains in full with the adapter: the head that is found, and which modules cannot be one."""

import warnings
from collections.abc import Collection, Iterator, Sequence

from torch import nn

from frod.method.quantised import is_quantised

# What transformers and torchvision call a head on a pretrained body, next to it; a language model's is pretrained.
NAMES = (
    "classifier",
    "score",
    "qa_outputs",
    "pre_classifier",
    "classification_head",
    "logits_proj",
    "head",
    "heads",
    "fc",
)


def find(model: nn.Module, layers: Collection[str] = ()) -> tuple[str, ...]:
    """Names of the modules that a model's new head is made of; none where it has no head, or one without parameters.

    What transformers drew when it loaded the model, where the model still knows; else `named`. What holds one of the
    target `layers`, or is one, is no head.
    """
    drawn = _drawn(model)
    found = named(model) if drawn is None else drawn
    return tuple(name for name in found if _can_train(model, name, layers))


def taken(model: nn.Module, layers: Collection[str]) -> tuple[str, ...]:
    """`find`, and a warning that says what was found, on behalf of the function that calls this one."""
    found = find(model, layers)
    if found:
        warnings.warn(
            f"{list(found)} is taken for the head and trains in full with the adapter; name what does, train=[...], "
            "or train=[] for nothing.",
            stacklevel=3,
        )
    return found


def warn_of_drawn(model: nn.Module, train: Sequence[str], layers: Collection[str]) -> None:
    """Warn of modules that transformers drew at random and that no adapter's file will have, on behalf of `attach`."""
    left = [name for name in _drawn(model) or () if not any(within(name, prefix) for prefix in train)]
    left = [name for name in left if not any(name.startswith(f"{layer}.") for layer in layers)]  # earlier adapters
    if left:
        adapted = any(within(layer, name) for name in left for layer in layers)
        warnings.warn(
            f"{left} came with no weights and were drawn at random when the model was loaded; {train or 'nothing'} "
            f"trains in full. They are not saved{' (an adapter is on them, too)' if adapted else ''}: elsewhere they "
            f"are drawn again. Name them, train={[*train, *left]}"
            f"{', leave them out of the targets' if adapted else ''}, or load weights that have them.",
            stacklevel=3,
        )


def named(model: nn.Module) -> list[str]:
    """The head by its name: timm's `get_classifier`, or a module next to the body that is called as heads are."""
    if callable(get_classifier := getattr(model, "get_classifier", None)):
        given = get_classifier()
        heads = given if isinstance(given, tuple | list) else (given,)
        return [name for name, module in model.named_modules() if any(module is head for head in heads)]
    return [name for name, _ in model.named_children() if name in NAMES]


def check(model: nn.Module, train: Sequence[str], layers: Collection[str]) -> tuple[str, ...]:
    """The names in `train`, if these modules can train in full; else a ValueError that says why not, and what to do."""
    if isinstance(train, str):
        raise ValueError(f"train={train!r} must be a list of module names: train=[{train!r}].")
    modules = dict(model.named_modules(remove_duplicate=False))
    for prefix in train:
        if prefix not in modules or not prefix:
            outermost = [name for name, part in model.named_children() if next(part.parameters(), None) is not None]
            raise ValueError(
                f"train names {prefix!r}, which is no module of {type(model).__name__}; its outermost are {outermost}."
            )
        module = modules[prefix]
        packed = [name for name, part in module.named_modules() if is_quantised(part)]
        if packed:
            raise ValueError(
                f"train names {prefix!r}, whose layer {packed[0]!r} is quantised and cannot train in full. Keep it "
                "from being quantised (BitsAndBytesConfig: llm_int8_skip_modules), or leave it out."
            )
        inside = [name for name in layers if within(name, prefix)]
        if inside:
            raise ValueError(
                f"train names {prefix!r}, which holds the target layer {inside[0]!r}; that one stays frozen."
            )
        if next(module.parameters(), None) is None:
            raise ValueError(
                f"train names {prefix!r}, which has no parameters ({type(module).__name__}): nothing would train. "
                "Leave it out, or give the model a head first (timm: model.reset_classifier(num_classes))."
            )
    if train and (tie := _tie(model, train)):
        raise ValueError(
            f"train names {list(train)}, and {tie[0]!r} in it is one with {tie[1]!r} in memory (tied weights). Name "
            f"both modules, train={[*train, tie[1].rpartition('.')[0]]}, to train them as one, or give one of them a "
            "copy of its own first (transformers: tie_word_embeddings=False)."
        )
    return tuple(train)


def refuse_overlap(train: Sequence[str], others: Collection[str]) -> None:
    """Refuse modules that lie within, or around, those that other adapters of the model train."""
    for prefix in train:
        for other in others:
            if other != prefix and (within(other, prefix) or within(prefix, other)):
                raise ValueError(f"train names {prefix!r}, another adapter of this model {other!r}: name the same.")


def within(name: str, *modules: str) -> bool:
    """Whether a module, parameter or buffer is one of these modules, or in one: not merely called alike."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _can_train(model: nn.Module, name: str, layers: Collection[str]) -> bool:
    """Whether a module that nobody named can be taken for a head."""
    module = model.get_submodule(name)
    if any(within(layer, name) or within(name, layer) for layer in layers):
        return False
    if next(module.parameters(), None) is None or any(map(is_quantised, module.modules())):
        return False
    return _tie(model, [name]) is None


def _drawn(model: nn.Module) -> list[str] | None:
    """Modules whose parameters transformers drew, none of them loaded; None if it did not load the model.

    It marks what it has loaded, and has no public name for that. Another mark, or none, and names decide.
    """
    loaded = {id(p) for p in model.parameters() if getattr(p, "_is_hf_initialized", False)}
    if not loaded:
        return None
    found: list[str] = []
    for name, module in model.named_modules():
        own = list(module.parameters())
        fresh = own and not any(id(parameter) in loaded for parameter in own)
        if name and fresh and not any(within(name, outer) for outer in found):
            found.append(name)
    return found


def _tie(model: nn.Module, train: Sequence[str]) -> tuple[str, str] | None:
    """Two parameters that lie in the same memory, the first in `train`; not two names of one that are both in it."""
    last: tuple[str, int, int, str, nn.Parameter] | None = None
    for span in sorted(_spans(model), key=lambda span: span[:3]):
        if last is not None and last[0] == span[0] and span[1] < last[2]:
            before, here = (any(within(of[3], prefix) for prefix in train) for of in (last, span))
            if (before or here) and not (before and here and span[4] is last[4]):
                return (span[3], last[3]) if here else (last[3], span[3])
        if last is None or (span[0], span[2]) > (last[0], last[2]):
            last = span
    return None


def _spans(model: nn.Module) -> Iterator[tuple[str, int, int, str, nn.Parameter]]:
    """Where each parameter lies: device, first byte, the one after the last; and its name, each of its names."""
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if type(parameter) is nn.Parameter and not parameter.is_meta and parameter.numel():
            reach = sum((size - 1) * stride for size, stride in zip(parameter.shape, parameter.stride())) + 1
            start = parameter.data_ptr()
            yield str(parameter.device), start, start + reach * parameter.element_size(), name, parameter
        else:  # without an address that means anything: only the object itself tells
            yield "", id(parameter), id(parameter) + 1, name, parameter
