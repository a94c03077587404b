"""The page's first table is the claims: verdicts in words, not by colour alone, and each leads to its figures."""

import re

import pytest
import synthetic
from test_page import build, read

from frod.reporting import verdicts


@pytest.fixture(scope="module")
def html(results, tmp_path_factory):
    out = tmp_path_factory.mktemp("reports")
    build(results, out)
    return (out / "index.html").read_text()


@pytest.mark.parametrize(
    ("verdict", "finding", "words"),
    [
        ("supported", None, "supported here"),
        ("supported", "shown", "supported here"),
        ("not_supported", "contradicted", "not supported here (contradicted)"),
        ("not_supported", "undecided", "not supported here (undecided)"),
        ("not_supported", None, "not supported here"),
        ("cannot_be_tested", None, "cannot be tested here"),
    ],
)
def test_a_verdict_in_words(verdict, finding, words):
    assert verdicts.in_words({"verdict": verdict, "finding": finding}) == words


def test_the_first_table_is_the_claims(results, html):
    table = re.search(r"<table.*?</table>", html, re.DOTALL).group()
    text = "".join(read(table).words)
    for claim in results.claims["claims"]:
        assert claim["title"] in text and claim["reason"] in text and verdicts.in_words(claim) in text
    assert "mean difference: −1.71 [−4.66,\u00a01.24]\u00a0points, n\u00a0=\u00a04" in text
    links = {link[1:] for link in read(table).links}
    assert links == {f"claim-{claim['id'].replace('_', '-')}" for claim in results.claims["claims"]}
    assert links <= set(read(html).ids)


def test_the_limits_stand_right_below_the_verdicts(results, html):
    between = html[html.index("</table>") : html.index('aria-label="Summary"')]
    text = "".join(read(between.removeprefix("</table>").rpartition("</section>")[0]).words)
    assert "A verdict is on this suite alone" in text
    assert all(line in text for line in results.suite["cannot_show"])


def test_a_claim_s_tables_link_to_runs_where_there_are_any(html):
    section = re.search(r'<section id="claim-matches-full-ft".*?</section>', html, re.DOTALL).group()
    assert (
        '<td class="n" data-value="-0.6"><a href="runs/digits/digit_vit/frod.html">−0.600 [−5.30,\u00a04.10]</a></td>'
        in section
    )
    assert '<td class="n">undefined</td>' in section, "its run is not in the report"
    assert "Paired by seed." in section and "What the abstract says" in section


def test_without_claims_the_page_says_so(results, tmp_path):
    bare = synthetic.results()
    bare.claims = bare.claims | {"claims": []}
    build(bare, tmp_path)
    assert "No claim was tested." in (tmp_path / "index.html").read_text()


def test_whether_compared_runs_had_the_same_budget_is_said_once_with_what_was_held(html):
    assert html.count("Compared runs had the same budget: yes. All quantities agree.") == 1
    held = re.search(r'<div id="budget">.*?</table>', html, re.DOTALL).group()
    assert "What compared runs have alike" in held and "optimiser steps" in held and "9 of 9" in held


def test_frods_share_stands_beside_the_papers_with_its_explanation(html):
    section = re.search(r'<section id="parameters">.*?</section>', html, re.DOTALL).group()
    assert re.search(r"FRoD trains [\d.]+\s%.* of the base parameters", section) and "1.72&nbsp;%" in section
    assert "../../docs/parameters.md" in read(section).links
