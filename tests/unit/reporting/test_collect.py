"""A report of a suite whose files are not all there is refused in one line that names them."""

from pathlib import Path

import pytest
from by_hand import write_suite

from frod.config import load
from frod.reporting import collect


def test_missing_files_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_suite("two", seeds=[0, 1])
    Path("summary.parquet").touch()
    where = {"tasks": Path("tasks"), "summary": Path("summary.parquet"), "out": Path("out")}
    with pytest.raises(ValueError, match=r"^tasks/digits/digit_vit/manifest\.json, .* and 6 more: not there"):
        collect.build(load({"suite": "two"}), {"suite": "two"}, **where)
    assert not Path("out").exists()
