"""A report of a suite whose files are not all there is refused in one line that names them."""

from pathlib import Path

import pytest
import yaml

from frod.config import load
from frod.reporting import collect

SUITE = {
    "title": "Two",
    "description": "Two seeds.",
    "seeds": [0, 1],
    "methods": {"full_ft": {}},
    "experiments": [{"tasks": ["digits"], "backbone": "digit_vit", "rates": {"full_ft": {"lr": 0.1, "lr_head": 0.1}}}],
}


def test_missing_files_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("workflow/suites").mkdir(parents=True)
    Path("workflow/suites/two.yaml").write_text(yaml.safe_dump(SUITE))
    Path("summary.parquet").touch()
    where = {"tasks": Path("tasks"), "summary": Path("summary.parquet"), "out": Path("out")}
    with pytest.raises(ValueError, match=r"^tasks/digits/digit_vit/manifest\.json, .* and 3 more: not there"):
        collect.build(load({"suite": "two"}), {"suite": "two"}, **where)
    assert not Path("out").exists()
