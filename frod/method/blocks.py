"""Names of layers: the same wherever a model stands, and which numbers in them are indices of blocks.

A part that is a number is an index, but for the last: that is a place in an nn.Sequential. A number within a part
(``encoder_layer_0``, ``h_0``, ``layer1``) is one where the same layers, in the same shapes, come again under another
number. The names of layers themselves (``w1`` and ``w3``, ``fc1`` and ``fc2``) are roles, and so are parts within a
block (``blocks.0.attn1`` and ``attn2``): the first index on the way to a layer is the only one of that kind.
"""

import re
from collections.abc import Iterable, Mapping

Shape = tuple[int, int]
# What comes before and after a list of blocks: ("encoder_layer_", "").
Around = tuple[str, str]

_NUMBERED = re.compile(r"(|.*\D)(\d+)(\D*)")


def canonical_names(names: Iterable[str]) -> dict[str, str]:
    """Drop what all names have in common before the block list: ``bert.encoder.layer.0.x`` -> ``layer.0.x``.

    The same encoder then has the same names whether it stands alone or inside a classifier.
    """
    split = {name: name.split(".") for name in names}
    if not split:
        return {}
    shared = list(next(iter(split.values())))[:-1]
    for parts in split.values():
        while shared != parts[: len(shared)]:
            shared.pop()
    first_index = next((at for at, part in enumerate(shared) if part.isdigit()), len(shared))
    drop = min(first_index, len(shared))
    # Keep the name of the block list itself: "layer.0.x" reads better than "0.x".
    if drop and all(parts[drop].isdigit() for parts in split.values()):
        drop -= 1
    return {name: ".".join(parts[drop:]) for name, parts in split.items()}


def starred(shapes: Mapping[str, Shape]) -> dict[str, str]:
    """The name of each layer with the indices of its blocks replaced by ``*``: its role.

    `shapes` are (m, n) of all target layers, by canonical name.
    """
    within = _within_names(shapes)
    return {name: ".".join(_starred(name, within)) for name in shapes}


def block_indices(shapes: Mapping[str, Shape]) -> dict[str, int | None]:
    """The block of each layer: the first part of its name that is an index, else the one with an index within.

    Without either it is a number at the end of the name, or None.
    """
    result: dict[str, int | None] = {}
    for name, role in starred(shapes).items():
        parts, roles = name.split("."), role.split(".")
        changed = [i for i, part in enumerate(roles) if part != parts[i]]
        at = min(changed, key=lambda i: (roles[i] != "*", i), default=len(parts) - 1)
        number = _NUMBERED.fullmatch(parts[at])
        result[name] = int(number[2]) if number and (changed or parts[at].isdigit()) else None
    return result


def _starred(name: str, within: Mapping[str, str]) -> list[str]:
    *path, last = name.split(".")
    starred = ["*" if part.isdigit() else within.get(".".join(path[: i + 1]), part) for i, part in enumerate(path)]
    return [*starred, last]


def _within_names(shapes: Mapping[str, Shape]) -> dict[str, str]:
    """The modules whose names have an index within: name up to there -> its last part with a star."""
    paths = list(zip(*(name.split(".")[:-1] for name in shapes)))
    same = next((i for i, parts in enumerate(paths) if len(set(parts)) > 1), len(paths))
    found: dict[str, str] = {}
    depth = max((name.count(".") for name in shapes), default=0)
    for at in range(depth):  # from the outside in, as an index outside decides
        lists: dict[tuple[str, Around], dict[str, set[tuple[str, Shape]]]] = {}
        for name, shape in shapes.items():
            parts = name.split(".")
            if at >= len(parts) - 1 or _has_index(parts[:at], same, found):
                continue
            number = _NUMBERED.fullmatch(parts[at])
            if number and not parts[at].isdigit():
                rest = ".".join(_starred(".".join(parts[at + 1 :]), {}))
                blocks = lists.setdefault((".".join(parts[:at]), (number[1], number[3])), {})
                blocks.setdefault(parts[at], set()).add((rest, shape))
        for (outer, (before, after)), blocks in lists.items():
            for part, layers in blocks.items():
                if list(blocks.values()).count(layers) > 1:
                    found[f"{outer}.{part}" if outer else part] = f"{before}*{after}"
    return found


def _has_index(path: list[str], same: int, found: Mapping[str, str]) -> bool:
    """Whether one of these parts is an index; a number that all layers have in common is none."""
    return any((part.isdigit() and i >= same) or ".".join(path[: i + 1]) in found for i, part in enumerate(path))
