"""A picture of the workflow: rules as boxes, in layers from what is fetched to what is reported.

Reads what `snakemake --rulegraph` prints and draws it without graphviz. Layers by longest path, so that every arrow
points down; an arrow that passes layers is led through a gap in each of them, so that it never crosses a box.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from frod.reporting.svg import SOFT, Drawing

BOX_HEIGHT, LAYER, GAP, MARGIN = 40.0, 84.0, 22.0, 12.0
FILL = "#f4f6f8"

Edge = tuple[str, str]

_NODE = re.compile(r'^\s*(\d+)\s*\[\s*label\s*=\s*("(?:[^"\\]|\\.)*")')
_EDGE = re.compile(r"^\s*(\d+)\s*->\s*(\d+)")


def parse(dot: str) -> list[Edge]:
    """Edges (rule before, rule after) from the dot text of `snakemake --rulegraph`.

    Raises
    ------
    ValueError
        Where the text holds no rule or an edge of an unknown one: it is not that command's output.
    """
    names = {m[1]: ast.literal_eval(m[2]).split("\n")[0] for line in dot.splitlines() if (m := _NODE.match(line))}
    if not names:
        raise ValueError(f"dot names no rule; pass the output of snakemake --rulegraph, not {dot[:60]!r}")
    edges = []
    for line in dot.splitlines():
        if found := _EDGE.match(line):
            unknown = [number for number in found.groups() if number not in names]
            if unknown:
                raise ValueError(f"dot has an edge of node {unknown[0]} but no such node: {line.strip()!r}")
            edges.append((names[found[1]], names[found[2]]))
    return sorted(set(edges))


def draw(edges: Iterable[Edge]) -> str:
    """The workflow as an SVG, of edges (rule before, rule after).

    Raises
    ------
    ValueError
        For no edges, or edges that go in a circle.
    """
    graph = _layered(sorted(set(edges)))
    widths = {node: _box_width(node) if isinstance(node, str) else 14.0 for node in graph.x}
    _order(graph)
    _place(graph, widths)
    width = max(graph.x[node] + widths[node] / 2 for node in graph.x) + MARGIN
    height = 2 * MARGIN + LAYER * (len(graph.layers) - 1) + BOX_HEIGHT
    described = "; ".join(f"{before} feeds {after}" for before, after in graph.edges)
    drawing = Drawing(width, height, "The workflow: rules and what feeds what", described)
    for path in graph.paths:
        _arrow(drawing, graph, path)
    for layer, nodes in enumerate(graph.layers):
        for node in nodes:
            if isinstance(node, str):
                _box(drawing, node, graph.x[node], _top(layer), widths[node])
    return drawing.render()


Node = str | tuple[str, str, int]
"""A rule, or a place where the edge (before, after) passes a layer."""


@dataclass
class _Graph:
    edges: list[Edge]
    layers: list[list[Node]]
    paths: list[list[Node]]
    """Each edge as the nodes it goes through, one per layer."""
    above: dict[Node, list[Node]] = field(default_factory=dict)
    below: dict[Node, list[Node]] = field(default_factory=dict)
    x: dict[Node, float] = field(default_factory=dict)


def _layered(edges: list[Edge]) -> _Graph:
    names = sorted({name for edge in edges for name in edge})
    if not names:
        raise ValueError("edges are empty; a workflow has at least two rules")
    before = {name: [a for a, b in edges if b == name] for name in names}
    after = {name: [b for a, b in edges if a == name] for name in names}
    depth: dict[str, int] = {}
    while len(depth) < len(names):
        ready = [name for name in names if name not in depth and all(a in depth for a in before[name])]
        if not ready:
            raise ValueError(f"edges go in a circle among {[name for name in names if name not in depth]}")
        depth |= {name: max((depth[a] + 1 for a in before[name]), default=0) for name in ready}
    # A rule without inputs stands just above what needs it, not at the top of the page.
    for name in names:
        if not before[name] and after[name]:
            depth[name] = min(depth[b] for b in after[name]) - 1
    layers: list[list[Node]] = [[name for name in names if depth[name] == i] for i in range(max(depth.values()) + 1)]
    paths: list[list[Node]] = []
    for a, b in edges:
        passing: list[Node] = [(a, b, layer) for layer in range(depth[a] + 1, depth[b])]
        for layer, node in enumerate(passing, depth[a] + 1):
            layers[layer].append(node)
        paths.append([a, *passing, b])
    graph = _Graph(edges, layers, paths)
    for node in (node for layer in layers for node in layer):
        graph.above[node], graph.below[node], graph.x[node] = [], [], 0.0
    for path in paths:
        for upper, lower in itertools.pairwise(path):
            graph.below[upper].append(lower)
            graph.above[lower].append(upper)
    return graph


def _order(graph: _Graph, sweeps: int = 24) -> None:
    """Order each layer so that few arrows cross: sweeps of barycentres, the best order seen kept."""
    best, fewest = [list(layer) for layer in graph.layers], _crossings(graph)
    for sweep in range(sweeps):
        downward = sweep % 2 == 0
        for layer in graph.layers if downward else reversed(graph.layers):
            neighbours = graph.above if downward else graph.below
            place = {node: i for nodes in graph.layers for i, node in enumerate(nodes)}
            size = {node: len(nodes) for nodes in graph.layers for node in nodes}
            centre = {
                node: _mean([(place[other] + 0.5) / size[other] for other in neighbours[node]])
                if neighbours[node]
                else (place[node] + 0.5) / len(layer)
                for node in layer
            }
            layer.sort(key=lambda node: (centre[node], place[node]))
        crossings = _crossings(graph)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in graph.layers], crossings
    graph.layers[:] = best


def _crossings(graph: _Graph) -> int:
    total = 0
    for upper, lower in itertools.pairwise(graph.layers):
        place = {node: i for i, node in enumerate(lower)}
        ends = [[place[other] for other in graph.below[node]] for node in upper]
        for i, left in enumerate(ends):
            total += sum(a > b for right in ends[i + 1 :] for a in left for b in right)
    return total


def _place(graph: _Graph, widths: Mapping[Node, float], rounds: int = 200) -> None:
    """Horizontal positions: each node towards its neighbours, never nearer than the gap to the next in its layer.

    Neighbours count more along passing arrows, so that these run straight and the boxes make room.
    """
    weight = {node: 1.0 if isinstance(node, str) else 4.0 for node in graph.x}
    for layer in graph.layers:
        _spread(layer, dict.fromkeys(layer, 0.0), graph.x, widths)
    for turn in range(rounds):
        for layer in graph.layers if turn % 2 == 0 else reversed(graph.layers):
            wanted = {}
            for node in layer:
                pulls = [(graph.x[other], weight[other]) for other in graph.above[node] + graph.below[node]]
                wanted[node] = sum(x * pull for x, pull in pulls) / sum(pull for _, pull in pulls)
            _spread(layer, wanted, graph.x, widths)
    for layer in graph.layers:  # a chain of rules stands in a straight line
        chained = [node for node in layer if len(graph.above[node]) == 1 == len(graph.below[graph.above[node][0]])]
        wanted = {node: graph.x[node] for node in layer}
        _spread(layer, wanted | {node: graph.x[graph.above[node][0]] for node in chained}, graph.x, widths)
    left = min(graph.x[node] - widths[node] / 2 for node in graph.x)
    for node in graph.x:
        graph.x[node] += MARGIN - left


def _spread(
    layer: list[Node], wanted: Mapping[Node, float], x: dict[Node, float], widths: Mapping[Node, float]
) -> None:
    """Least movement from the wanted places that keeps order and distance: neighbours that collide move as one."""
    blocks: list[tuple[list[Node], list[float]]] = []  # nodes, and where each of them wants the block's first one
    for node in layer:
        blocks.append(([node], [wanted[node]]))
        while len(blocks) > 1:
            (left, left_wish), (right, right_wish) = blocks[-2:]
            reach = sum(_distance(a, b, widths) for a, b in itertools.pairwise([*left, right[0]]))
            if _mean(left_wish) + reach <= _mean(right_wish):
                break
            blocks[-2:] = [(left + right, left_wish + [wish - reach for wish in right_wish])]
    for nodes, wishes in blocks:
        at = _mean(wishes)
        for i, node in enumerate(nodes):
            at += _distance(nodes[i - 1], node, widths) if i else 0.0
            x[node] = at


def _distance(left: Node, right: Node, widths: Mapping[Node, float]) -> float:
    return widths[left] / 2 + GAP + widths[right] / 2


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _top(layer: int) -> float:
    return MARGIN + LAYER * layer


def _box_width(rule: str) -> float:
    return max(84.0, 7.4 * len(rule) + 26)


def _box(drawing: Drawing, rule: str, x: float, top: float, width: float) -> None:
    drawing.add(
        "rect",
        x=x - width / 2,
        y=top,
        width=width,
        height=BOX_HEIGHT,
        rx=8,
        fill=FILL,
        stroke=SOFT,
        class_="box",
    )
    drawing.text(x, top + 25, rule, size=13, anchor="middle")


def _port(graph: _Graph, node: Node, other: Node, *, entering: bool) -> float:
    """Where on a box's edge the arrow from or to `other` is: side by side, in the order the others stand."""
    others = sorted((graph.above if entering else graph.below)[node], key=lambda n: graph.x[n])
    return graph.x[node] + (others.index(other) - (len(others) - 1) / 2) * min(12.0, 60.0 / len(others))


def _arrow(drawing: Drawing, graph: _Graph, path: list[Node]) -> None:
    """A smooth line down through the layers, with a head where it arrives."""
    depth = next(i for i, layer in enumerate(graph.layers) if path[0] in layer)
    x, y = _port(graph, path[0], path[1], entering=False), _top(depth) + BOX_HEIGHT
    written = [f"M{x:.1f} {y:.1f}"]
    for step, node in enumerate(path[1:], 1):
        last = step == len(path) - 1
        to = _port(graph, node, path[step - 1], entering=True) if last else graph.x[node]
        top = _top(depth + step) - (5 if last else 0)
        bend = (top - y) / 2
        written.append(f"C{x:.1f} {y + bend:.1f} {to:.1f} {top - bend:.1f} {to:.1f} {top:.1f}")
        x, y = to, top
        if not last:
            y = top + BOX_HEIGHT
            written.append(f"V{y:.1f}")
    drawing.add("path", d="".join(written), fill="none", stroke=SOFT, stroke_width=1.4, class_="axis")
    head = f"M{x - 3.6:.1f} {y - 3:.1f}L{x + 3.6:.1f} {y - 3:.1f}L{x:.1f} {y + 4.5:.1f}Z"
    drawing.add("path", d=head, fill=SOFT, class_="head")
