"""What differs is named where it first differs, to the digit; what a broken file makes go wrong is a finding."""

import math

import pytest

from frod.audit.findings import Finding, Findings, difference
from frod.cli.audit import say


@pytest.mark.parametrize(
    ("expected", "found", "where"),
    [
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, "a.b[1]"),
        ({"a": 1}, {"a": 1, "b": 2}, "b"),
        ({"a": 1, "b": 2}, {"a": 1}, "b"),
        ([1, 2], [1], " (length)"),
        ({"a": 0.1 + 0.2}, {"a": 0.3}, "a"),
        ({"a": math.nan}, {"a": None}, "a"),
        ({"a": True}, {"a": 1}, "a"),
        ({"a": {}}, {"a": None}, "a"),
        ("x", "y", ""),
    ],
)
def test_the_first_difference_is_named(expected, found, where):
    assert difference(expected, found)[0] == where


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, "x", {"b": math.nan}]}, 1, [], {}, {"a": (1, 2)}])
def test_equal_values_do_not_differ(value):
    assert difference(value, value) is None
    assert difference({"a": 1}, {"a": 1.0}) is None


def test_a_line_has_file_what_both_sides_and_remedy():
    one = Finding(file="a/b.json", what="seeds.head", expected=1, found=2, remedy="run it again")
    assert one.line() == "a/b.json: seeds.head: expected 1, found 2; run it again"
    assert Finding(file="a", what="is broken").line() == "a: is broken"
    assert "\n" not in Finding(file="a", what="b", expected="x\ny" * 100, found=None).line()


def test_remedies_are_command_lines():
    findings = Findings()
    findings.add("a", "x", remedy="run `snakemake report`")
    findings.add("a", "y", remedy="remove a and run `snakemake`, or `dvc checkout`")
    findings.complete(lambda target: f"snakemake{target and ' '}{target} --config suite=mine")
    assert [one.remedy for one in findings.found] == [
        "run `snakemake report --config suite=mine`",
        "remove a and run `snakemake --config suite=mine`, or `dvc checkout`",
    ]


def test_an_error_is_a_finding_and_the_audit_goes_on():
    findings = Findings()
    with findings.guard("a.json", "its steps"):
        raise KeyError("step")
    findings.add("a.json", "once")
    findings.add("a.json", "once")
    assert [one.line() for one in findings.found] == [
        "a.json: its steps cannot be checked: KeyError: 'step'",
        "a.json: once",
    ]
    assert not findings.equal("b.json", "x", {"y": 1}, {"y": 2})
    assert findings.found[-1].what == "x.y"
    assert findings.as_json()["findings"][-1]["expected"] == 1


def test_what_others_wrote_commands_no_terminal(capsys):
    findings = Findings()
    findings.add("a\x1b[2J.json", "title\nno findings", "\u202eb", "c")
    findings.notes.append("d\re")
    say(findings, 1.0)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [r"a\x1b[2J.json: title\nno findings: expected \u202eb, found c", r"note: d\re"]
