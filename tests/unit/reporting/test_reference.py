"""The table of the scripts' faults names files and tests that exist, and others' numbers stay apart from ours."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from pages import page, read

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


def test_they_stand_last_and_only_for_the_suite_s_own_tasks(results, html, tmp_path):
    apart = html.index('id="published"')
    assert apart > max(html.index(f'id="{name}"') for name in ("runs", "known_issues", "comparison"))
    assert "Llama-3.2-3B" in html[apart:] and "RoBERTa-large" not in html

    moved = {key._replace(backbone=key.backbone.replace("minilm", "roberta_large")): key for key in results.records}
    large = replace(
        results,
        summary=results.summary.replace({"minilm": "roberta_large"}),
        suite=results.suite | {"runs": []},
        histories={key: results.histories[old] for key, old in moved.items()},
        records={key: results.records[old] for key, old in moved.items()},
    )
    text = page(large, tmp_path)
    tables = re.findall(r"<table.*?</table>", text[text.index('id="published"') :], re.DOTALL)
    assert len(tables) == 1 + 2
    assert re.findall(r"<th(?: [^>]*)?>(.*?)</th>", tables[1]) == ["method", "cola"]
    assert read(tables[1]).words[1:] and "84.27" in read(tables[1]).words
