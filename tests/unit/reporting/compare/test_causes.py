"""Figures that differ: what the runs read, and on what they ran, is named, the likeliest cause first."""

import json

import pytest
from test_compare import report, results

from frod.reporting.compare import differences, revisions, showing

PATHS = {
    "weights of digit_vit": "data/models/digit_vit/source.json",
    "basis of digit_vit on ridge-0.001-float64": "data/bases/digit_vit/ridge-0.001-float64/manifest.json",
    "task digits on digit_vit": "data/tasks/digits/digit_vit/manifest.json",
}


def side(folder, test, *, commit="a" * 40, processor="X", **digests):
    """A report's folder whose runs.json names what its run read."""
    inputs = {path: digests.get(name.split()[0], "0" * 64) for name, path in PATHS.items()}
    run = {"adapter": str(test), "processor": processor, "numerics": "native", "threads": 1, "inputs": inputs}
    table = results({0: test}).assign(code_hash=commit, git_commit=commit)
    return revisions.read(report(folder, table, runs={"digits/digit_vit/frod/seed-0": run}))


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"weights": "1" * 64, "commit": "b" * 40}, "weights of digit_vit"),
        ({"basis": "1" * 64, "processor": "Y"}, "basis of digit_vit on ridge-0.001-float64"),
        ({"task": "1" * 64}, "task digits on digit_vit"),
        ({"processor": "Y", "commit": "b" * 40}, "processor"),
        ({"commit": "b" * 40}, "code of the runs"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_the_likeliest_cause_stands_first(tmp_path, change, first):
    found = differences.compare(side(tmp_path / "a", 0.5), side(tmp_path / "b", 0.6, **change))
    assert found.settings[0].name == first
    assert f"the likeliest cause first: {first}." in "\n".join(showing.sentences(found))
    json.dumps(found.as_dict())
