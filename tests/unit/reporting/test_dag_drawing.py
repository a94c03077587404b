"""The workflow's picture: every rule once, every arrow downwards, no box or arrow drawn over another box."""

import re
from xml.etree import ElementTree

import pytest
import synthetic

from frod.reporting import dag

SVG = "{http://www.w3.org/2000/svg}"
DOT = """digraph snakemake_dag {
    graph[bgcolor=white, margin=0];
    node[shape=box, style=rounded, fontname=sans,                 fontsize=10, penwidth=2];
    edge[penwidth=2, color=grey];
\t0[label = "all", color = "0.33 0.6 0.85", style="rounded"];
\t1[label = "train\\nseed: 1", color = "0.00 0.6 0.85", style="rounded"];
\t1 -> 0
}
"""


def boxes(svg):
    """Rule name to (left, top, right, bottom)."""
    root = ElementTree.fromstring(svg)
    rects = [r for r in root.iter(f"{SVG}rect") if r.get("class") == "box"]
    names = [t.text for t in root.iter(f"{SVG}text") if t.get("font-size") == "13"]
    found = {}
    for name, rect in zip(names, rects, strict=True):
        x, y, width, height = (float(rect.get(key)) for key in ("x", "y", "width", "height"))
        found[name] = (x, y, x + width, y + height)
    return found


def test_dot_text_is_read():
    assert dag.parse(DOT) == [("train", "all")]


@pytest.mark.parametrize(
    ("text", "message"), [("MissingInputException", "no rule"), (DOT.replace("1 -> 0", "7 -> 0"), "node 7")]
)
def test_what_is_no_graph_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        dag.parse(text)


def test_every_rule_is_drawn_once_and_arrows_point_down():
    drawn = boxes(dag.draw(synthetic.edges()))
    assert set(drawn) == {rule for edge in synthetic.edges() for rule in edge}
    for before, after in synthetic.edges():
        assert drawn[before][3] < drawn[after][1], f"{before} is not above {after}"


def test_nothing_overlaps_a_box():
    svg = dag.draw(synthetic.edges())
    drawn = list(boxes(svg).values())
    for i, (left, top, right, bottom) in enumerate(drawn):
        assert left >= 0 and top >= 0
        for other in drawn[i + 1 :]:
            assert right < other[0] or other[2] < left or bottom < other[1] or other[3] < top
    # An arrow is inside a layer of boxes only where it runs straight down: there it must miss them all.
    straight = re.findall(r"([\d.]+) ([\d.]+)V([\d.]+)", svg)
    assert straight
    for x, start, end in straight:
        for left, top, right, bottom in drawn:
            assert not (left < float(x) < right and float(start) < bottom and float(end) > top)


def test_drawing_does_not_depend_on_the_order_of_edges():
    assert dag.draw(synthetic.edges()) == dag.draw(list(reversed(synthetic.edges())))


def test_no_edges_and_circles_are_refused():
    with pytest.raises(ValueError, match="empty"):
        dag.draw([])
    with pytest.raises(ValueError, match=r"circle among \['a', 'b'\]"):
        dag.draw([("a", "b"), ("b", "a")])


def test_names_are_escaped():
    assert "<script>" not in dag.draw([("<script>", "b")])
