"""results.tex and summary.md show names as they are: what is markup in LaTeX or Markdown must not act as such."""

import re
from dataclasses import replace
from html import unescape

import pytest
import synthetic
from markdown_it import MarkdownIt
from pages import page

from frod.reporting.text_tables import latex, markdown

EVIL = r"a_b & 50% of $x$ #1 {c} ~d^e \f <g> |h| *i* [j](k) `l` ![m] \\ -- &amp; --- \begin{x}"


def rendered(text):
    """What a reader of Markdown sees, by a parser that is not ours."""
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)


def plain(html):
    return unescape(re.sub(r"<[^>]+>", "", html))


@pytest.mark.parametrize("text", [EVIL, "__bold__ and ~~gone~~", "<b>x</b> &lt;", "two\nlines", "| a | b |"])
def test_markdown_shows_any_name_as_it_is(text):
    cell = rendered(f"| x | {markdown(text)} |\n|---|---|\n| 1 | {markdown(text)} |\n")
    shown = re.sub(r"\s*\n\s*", " ", text)
    assert [plain(td) for td in re.findall(r"<t[hd]>(.*?)</t[hd]>", cell)] == ["x", shown, "1", shown]


def test_latex_escapes_all_that_is_special_in_it():
    """Taken apart by TeX's own rules: a special character stands only behind a backslash or within a command."""
    assert latex("a_b & 5%") == r"a\_b \& 5\%"
    assert latex("a\n\n%b") == r"a \%b"
    for character in "#$%&_{}":
        assert latex(character) == "\\" + character
    bare = re.sub(r"\\(?:[#$%&_{}]|text[a-z]+\{\})", "", latex(EVIL))
    assert not set(bare) & set('\\#$%&_{}~^<>|"')


def test_the_latex_table_has_a_row_per_task_and_method(results, built):
    text = (built / "results.tex").read_text()
    rows = [line for line in text.splitlines() if line.startswith(r"\quad")]
    assert len(rows) == 4 * 4
    assert all(row.count("&") + row.count("multicolumn{2}") == 4 and row.endswith(r" \\") for row in rows)
    assert text.count("{") == text.count("}") and r"\toprule" in text and r"\bottomrule" in text
    digits = results.summary.query("task == 'digits' and method == 'frod'")["test"]
    assert rf"\quad FRoD & {100 * digits.mean():.1f} $\pm$ {100 * digits.std(ddof=1):.1f} & $-$" in text
    assert r"territory\_language on minilm, accuracy" in text


def test_the_summary_has_verdicts_results_and_where_they_come_from(results, built):
    html = rendered((built / "summary.md").read_text())
    assert html.count("<table>") == 2
    text = plain(html)
    assert "not supported here (undecided)" in text and "cannot be tested here" in text
    assert "commit 0123456789ab" in text and "39 runs" in text
    assert len(re.findall("<tr>", html)) == 1 + len(results.claims["claims"]) + 1 + 16


def test_hostile_names_do_not_break_a_table(tmp_path):
    hostile = synthetic.results(rename={"digits": EVIL})
    page(replace(hostile, suite=hostile.suite | {"title": EVIL}), tmp_path)
    html = rendered((tmp_path / "summary.md").read_text())
    assert plain(re.search("<h3>(.*?)</h3>", html).group(1)) == EVIL
    assert html.count("<table>") == 2 and all(row.count("<td") in (3, 6) for row in html.split("</tr>") if "<td" in row)
