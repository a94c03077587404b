"""What is altered in a finished study is found and named by its file; what may be altered is told; the rest is known.

Each alteration on its own, undone after it. What is found is held against what was done.
"""

import os
from pathlib import Path

import pytest
from alterations import REPORT, RUN, TASK, audit, audited, change, kept
from forgeries import EVERYTHING, FORGED, NOTED, POSSIBLE

pytestmark = pytest.mark.usefixtures("alone")


@pytest.mark.parametrize("what", FORGED)
def test_what_is_altered_is_found_and_named(project, what):
    alter, expected = FORGED[what]
    with kept(project, *EVERYTHING):
        alter(project)
        lines = audited(project)
    missing = [start for start in expected if not any(line.startswith(start) for line in lines)]
    assert not missing, "\n".join(lines)
    assert all(": " in line and "\n" not in line for line in lines)


@pytest.mark.parametrize("what", NOTED)
def test_what_an_author_may_do_is_a_note(project, what):
    alter, expected = NOTED[what]
    with kept(project, *EVERYTHING):
        alter(project)
        found = audit(project)
    assert [finding.line() for finding in found.found] == []
    missing = [start for start in expected if not any(note.startswith(start) for note in found.notes)]
    assert not missing, "\n".join(found.notes)


@pytest.mark.parametrize("what", POSSIBLE)
def test_what_stays_possible_is_in_the_documentation(project, what):
    """It takes more than an edit; docs/audit.md says what would find it."""
    with kept(project, *EVERYTHING):
        POSSIBLE[what](project)
        assert audited(project) == []
    assert what in (Path(__file__).parents[2] / "docs/audit.md").read_text("utf-8")


@pytest.mark.parametrize("name", [f"{RUN}/record.json", f"{TASK}/manifest.json", "data/models/digit_vit/config.json"])
def test_what_has_no_end_is_a_finding_and_stops_the_audit_before_it_is_read(project, name):
    with kept(project, *EVERYTHING):
        (project / name).unlink()
        os.mkfifo(project / name)
        found = audit(project)
        assert [one.file for one in found.found] == [name] and list(found.unchecked) == ["all else"]
        assert found.found[0].what.startswith("is neither a file nor a folder")


def test_a_report_that_skips_no_list_is_none(project):
    with kept(project, *EVERYTHING):
        change(project / REPORT / "report.json", lambda report: report.update(skipped={"a": 1}))
        with pytest.raises(ValueError, match=r"report\.json: skipped: should be a list of names"):
            audit(project)
