"""The table of the scripts' faults names files and tests that exist, and others' numbers stay apart from ours."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from test_page import build, read

from frod.backbones import registry as backbones
from frod.reporting import reference
from frod.tasks import registry as tasks

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("row", reference.known_issues(), ids=lambda row: row["fault"][:40])
def test_every_fault_says_how_it_is_handled_and_where(row):
    assert set(row) == {"fault", "effect", "state", "here", "where"} and row["where"]
    assert row["state"] in ("mended", "in part", "kept")
    for place in row["where"]:
        path, _, test = place.partition("::")
        assert (ROOT / path).is_file(), place
        assert not test or f"\ndef {test}(" in (ROOT / path).read_text(), place


def test_published_tables_are_whole_and_name_known_tasks_and_models():
    known = reference._read("published.yaml")
    for table in known["general"]:
        assert {len(row) for row in table["rows"]} == {len(table["columns"])}
    for table in known["tasks"]:
        assert table["backbone"] in backbones.load()
        assert {task for row in table["rows"].values() for task in row} <= set(tasks.load())
    assert all(table["source"] and table["setting"] for table in [*known["general"], *known["tasks"]])


def test_they_stand_last_and_only_for_the_suite_s_own_tasks(results, tmp_path):
    build(results, tmp_path / "small")
    text = (tmp_path / "small" / "index.html").read_text()
    apart = text.index('id="published"')
    assert apart > max(text.index(f'id="{name}"') for name in ("runs", "known_issues", "comparison"))
    assert "Llama-3.2-3B" in text[apart:] and "RoBERTa-large" not in text

    summary = results.summary.replace({"minilm": "roberta_large"})
    suite = results.suite | {"runs": []}
    moved = {key._replace(backbone=key.backbone.replace("minilm", "roberta_large")): key for key in results.records}
    large = replace(
        results,
        summary=summary,
        suite=suite,
        histories={key: results.histories[old] for key, old in moved.items()},
        records={key: results.records[old] for key, old in moved.items()},
    )
    build(large, tmp_path / "large")
    text = (tmp_path / "large" / "index.html").read_text()
    tables = re.findall(r"<table.*?</table>", text[text.index('id="published"') :], re.DOTALL)
    assert len(tables) == 1 + 2
    assert re.findall(r"<th(?: [^>]*)?>(.*?)</th>", tables[1]) == ["method", "cola"]
    assert read(tables[1]).words[1:] and "84.27" in read(tables[1]).words
