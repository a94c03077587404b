"""No text of a suite, a record or a result becomes part of a page's, a figure's or a table's structure.

A report is built twice, from the same results: once each text in them ends in letters, once in what would be a tag, an
attribute, a cell, a command or a formula. Both must have the same structure, and the page's policy lets nothing run.
"""

import base64
import csv
import hashlib
import io
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "unit" / "reporting"))

import synthetic  # noqa: E402

from frod.characters import hidden  # noqa: E402
from frod.provenance.run_keys import RunKey  # noqa: E402
from frod.reporting import page  # noqa: E402
from frod.reporting.report_data import Report  # noqa: E402
from frod.reporting.text_tables import latex, markdown  # noqa: E402

PLAIN = "letters"
HOSTILE = (
    '</title></td></svg>]]>--><script>alert(1)</script><img src=x onerror=alert(1)>" onmouseover="alert(1)'
    " ' onfocus='x"
    " {{ 7 * 7 }} {% raw %} &lt; | a | `b` [x](javascript:alert(1)) ![x](http://e/x.png) $\\input{/etc/passwd}$ % & #"
    " \u202e \u200b \x1b[31m http://e/x www.e.org @x"
    " _ ^ ~ \\\\ \\end{tabular} }\r\n\n# heading\n| --- |\n=1+1,\"=cmd|'/C calc'!A0\"\t@x"
)
KEPT = {"kind", "primary", "metric", "id", "verdict", "finding", "run", "started", "finished", "name", "text", "method"}
"""Words that the report decides by, or finds runs by: they are not free text, or are checked where they are read."""


def ending(value, end, key=None):
    """A copy of nested results in which every free text ends in `end`."""
    if isinstance(value, dict):
        return {name: ending(inner, end, name) for name, inner in value.items()}
    if isinstance(value, list | tuple) and not isinstance(value, RunKey):
        return type(value)(ending(inner, end, key) for inner in value)
    return f"{value}{end}" if isinstance(value, str) and key not in KEPT else value


def build(end, out):
    found = synthetic.diverged(synthetic.results(), {RunKey("digits", "digit_vit", "lora", 2): 90})
    summary = found.summary.copy()
    summary["undefined"] = [text and f"{text}{end}" for text in summary["undefined"]]
    summary["git_commit"] += end
    suite = ending(found.suite, end) | {"skipped": [f"task{end}"]}
    for name, settings in suite["methods"].items():
        settings |= {"kind": name, "label": f"{name}{end}"}
    records = {key: ending(record, end) for key, record in found.records.items()}
    for record in records.values():
        record["spec"]["adapter"]["arguments"] = {"bias": f"none{end}"}
        record["inputs"] = {f"{path}{end}": digest for path, digest in record["inputs"].items()}
        record["environment"]["packages"][f"torch{end}"] = "1"
    tuning = {
        ("digits", "digit_vit", "frod"): {
            "trials": [{"rates": {"lr_scale": 0.1}, "validation": None, "undefined": f"1{end}", "metric": "accuracy"}],
            "index": 0, "seeds": [100], "rates": {"lr_scale": 0.1}, "validation": None, "metric": "accuracy",
        }
    }  # fmt: skip
    report = Report(
        summary=summary,
        histories=found.histories,
        records=records,
        suite=suite,
        claims=ending(found.claims, end),
        manifests={key: ending(manifest, end) for key, manifest in found.manifests.items()},
        tuning=tuning,
        spectra=found.spectra,
    )
    page.write(page.contents(report), out)
    return [path for path in out.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """(name, text with letters, text with what is hostile) of every file of the report."""
    top = tmp_path_factory.mktemp("reports")
    plain, hostile = (
        {path.relative_to(top / name): path.read_text() for path in build(end, top / name)}
        for name, end in (("a", PLAIN), ("b", HOSTILE))
    )
    assert set(plain) == set(hostile)
    assert sum("heading" in text for text in hostile.values()) > 20, "the hostile text is in few of the files"
    return [(name, plain[name], hostile[name]) for name in sorted(plain)]


def of_kind(reports, suffix):
    found = [report for report in reports if report[0].suffix == suffix]
    assert found
    return found


class Structure(HTMLParser):
    """Tags and their attributes' names in order, the addresses, and what stands in scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.scripts, self.policy, self.inside = [], [], [], None, None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, *(name for name, _ in attrs)))
        self.inside = tag
        self.addresses += [value for name, value in attrs if name in ("href", "src", "xlink:href", "action")]
        if tag == "meta" and dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"]

    def handle_endtag(self, tag):
        self.tags.append(f"/{tag}")
        self.inside = None

    def handle_data(self, data):
        if self.inside in ("script", "style"):
            self.scripts.append(data)

    def handle_comment(self, data):
        self.tags.append("comment")


def test_pages_keep_their_tags_and_attributes(reports):
    for name, plain, hostile in of_kind(reports, ".html"):
        ours, theirs = Structure(plain), Structure(hostile)
        assert ours.tags == theirs.tags, name
        assert ours.scripts == theirs.scripts and ours.policy == theirs.policy, name


def test_links_lead_into_the_report_alone(reports):
    for name, _, hostile in of_kind(reports, ".html"):
        for address in Structure(hostile).addresses:
            assert address == "data:," or re.fullmatch(r"[#\w./%-]*(#[\w-]+)?", address), (name, address)


def test_the_policy_lets_nothing_run_but_the_pages_own_script(reports):
    for name, _, hostile in of_kind(reports, ".html"):
        found = Structure(hostile)
        hashes = {
            "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found.scripts
        }
        rules = dict(rule.strip().split(" ", 1) for rule in found.policy.split(";"))
        assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'", name
        assert {rules["script-src"].strip("'"), rules["style-src"].strip("'")} == hashes, name
        assert "unsafe" not in found.policy


def test_figures_keep_their_elements(reports):
    for name, plain, hostile in of_kind(reports, ".svg"):
        ours, theirs = (
            [(e.tag, sorted(e.attrib)) for e in ElementTree.fromstring(text).iter()] for text in (plain, hostile)
        )
        assert ours == theirs, name
        assert not {"script", "foreignObject", "image", "a"} & {tag.rpartition("}")[2] for tag, _ in theirs}


def cells(text):
    """How many cells each line of a Markdown or LaTeX table has: separators that no backslash takes away."""
    return [len(re.findall(r"(?<!\\)(?:\\\\)*[|&]", line)) for line in text.splitlines()]


def test_the_latex_table_keeps_its_cells_and_commands(reports):
    for name, plain, hostile in of_kind(reports, ".tex"):
        assert len(plain.splitlines()) == len(hostile.splitlines()), name
        known = set(re.findall(r"\\[A-Za-z]+", plain)) | {r"\textbackslash", r"\textasciitilde", r"\textasciicircum"}
        known |= {r"\textless", r"\textgreater", r"\textbar", r"\textquotedbl"}
        # An escaped backslash is no command: what follows it is text.
        assert set(re.findall(r"\\[A-Za-z]+", hostile.replace(r"\textbackslash{}", " "))) <= known
        bare = re.sub(r"\\[{}&%$#_]", "", hostile)
        assert bare.count("{") == bare.count("}")
        assert [line.count("&") for line in bare.splitlines()] == [
            re.sub(r"\\[{}&%$#_]", "", line).count("&") for line in plain.splitlines()
        ]


def test_the_markdown_keeps_its_cells_and_has_no_html(reports):
    for name, plain, hostile in of_kind(reports, ".md"):
        assert len(plain.splitlines()) == len(hostile.splitlines()), name
        assert cells(plain) == [
            count for count in cells(hostile.replace("&lt;", "").replace("&gt;", "").replace("&amp;", ""))
        ]
        assert "<" not in hostile and not re.search(r"(?<!\\)([`\[@]|://)|www\.", hostile)


def test_no_text_for_a_reader_hides_a_character(reports):
    for kind in (".html", ".svg", ".md", ".tex"):
        for name, _, hostile in of_kind(reports, kind):
            assert hidden(hostile) is None, name
    shown = [text for name, _, text in reports if "u202e" in text]
    assert len(shown) > 20


def test_tables_keep_their_cells_and_have_no_formula(reports):
    """A spreadsheet runs a cell that begins with one of =+-@: numbers may, texts may not."""
    for name, plain, hostile in of_kind(reports, ".csv"):
        ours, theirs = (list(csv.reader(io.StringIO(text))) for text in (plain, hostile))
        assert list(map(len, ours)) == list(map(len, theirs)), name
        for cell in {cell for row in theirs for cell in row}:
            assert not re.match(r"[=+\-@\t\r]", cell) or re.fullmatch(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?|-?inf", cell), cell


@pytest.mark.parametrize("escape", [latex, markdown])
def test_an_escaped_text_is_one_line(escape):
    assert "\n" not in escape(HOSTILE) and "\r" not in escape(HOSTILE)
