"""A suite of one task and two methods, written next to parameters of one's own."""

import copy

import by_hand
import yaml

from frod import config

RATES = {
    "full_ft": {"lr": 1e-3, "lr_head": 1e-3},
    "frod": {"lr_scale": 1e-3, "lr_rotation": 1e-3, "lr_head": 1e-3},
}
SUITE = by_hand.SUITE | {
    "rates_chosen": "by hand",
    "seeds": [0, 1],
    "methods": {"full_ft": {"kind": "full_ft"}, "frod": {"kind": "frod", "sparse_rate": 0.01}},
    "experiments": [by_hand.SUITE["experiments"][0] | {"training": {"epochs": 2}, "rates": RATES}],
}
BOX = {
    "full_ft": {"lr": [1e-4, 1e-2], "lr_head": [1e-3, 1e-2]},
    "frod": {"lr_scale": [1e-3, 1e-1], "lr_rotation": [1e-3, 1e-1], "lr_head": [1e-3, 1e-2]},
}
GRID = {
    "full_ft": [{"lr": rate, "lr_head": 1e-3} for rate in (1e-4, 1e-3)],
    "frod": [{"lr_scale": rate, "lr_rotation": rate, "lr_head": 1e-3} for rate in (1e-3, 1e-2)],
}


def load(tmp_path, params=None, suite=None):
    folder = tmp_path / "workflow" / "suites"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.yaml").write_text(yaml.safe_dump(suite or SUITE, sort_keys=False))
    return config.load({"suite": "small"} | (params or {}), tmp_path)


def changed(path, value):
    """The suite with one value set; path is dotted, numbers index lists."""
    suite = copy.deepcopy(SUITE)
    *parents, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    place = suite
    for part in parents:
        place = place[part]
    place[last] = value
    return suite
