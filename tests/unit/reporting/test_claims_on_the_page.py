"""The page opens with the differences as a picture and the claims: verdicts in words, and each leads to its figures."""

import re
from dataclasses import replace

import pytest
import synthetic
from pages import page, read, words

from frod.reporting import verdicts


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


def test_every_claim_has_a_line_with_its_verdict_and_unfolds_why(results, html):
    claims = re.search(r'<ul class="verdicts".*?\n</ul>', html, re.DOTALL).group()
    lines = [re.sub(r"<.*?>", "", line) for line in re.findall(r"<summary>.*?</summary>", claims)]
    shown = [line.partition(" The claim")[0] for line in lines]
    assert shown == ["~ undecided", "✓ supported", "✗ contradicted", "? cannot be tested"]
    assert all(claim["title"] in line for claim, line in zip(results.claims["claims"], lines, strict=True))
    text = words(claims)
    assert all(claim["reason"] in text for claim in results.claims["claims"])
    assert "mean difference: −1.71 [−4.66,\u00a01.24]\u00a0points, n\u00a0=\u00a04" in text
    links = {link[1:] for link in read(claims).links}
    assert links == {f"claim-{claim['id'].replace('_', '-')}" for claim in results.claims["claims"]}
    assert links <= set(read(html).ids)


def test_the_picture_comes_first_with_its_figures_in_a_table_behind(results, html):
    """The difference of each task, held against pandas, with a link to the runs it is of."""
    assert html.index('id="claims"') < html.index("<svg") < html.index('class="verdicts"')
    table = read(re.search(r"<table.*?</table>", html, re.DOTALL).group())
    wide = results.summary.pivot_table(index=["task", "seed"], columns="method", values="test", sort=False)
    means = (wide["frod"] - wide["full_ft"]).groupby("task", sort=False).mean()
    text = re.sub(r"\s+", " ", " ".join(table.words))
    for task, backbone in results.by_task:
        assert f"{task} on {backbone} {100 * means[task]:+.1f}".replace("-", "−") in text
        assert f"runs/{task}/{backbone}/frod.html" in table.links
    assert f"mean over 4 tasks {100 * means.mean():+.1f}".replace("-", "−") in text and "one seed: none" in text


def test_the_limits_stand_right_below_the_verdicts(results, html):
    limits = re.search(r'</ul>\n<p>[^\n]*\n(<div id="limits".*?</div>)', html, re.DOTALL).group(1)
    text = words(limits)
    assert "A verdict is on this suite alone" in text
    assert all(line in text for line in results.suite["cannot_show"])


def test_a_claim_s_tables_link_to_runs_where_there_are_any(html):
    section = re.search(r'<section id="claim-matches-full-ft".*?</section>', html, re.DOTALL).group()
    link = '<a href="runs/digits/digit_vit/frod.html">−0.600 [−5.30,\u00a04.10]</a>'
    assert f'<td class="n" data-value="-0.6">{link}</td>' in section
    assert '<td class="n">undefined</td>' in section, "its run is not in the report"
    assert "Paired by seed." in section and "What the abstract says" in section


def test_with_one_task_the_figure_says_that_its_interval_is_not_the_verdict_s(html, tmp_path):
    said = "the verdict's wider one test examples, too"
    assert said in page(synthetic.results(tasks=("digits",)), tmp_path) and said not in html


def test_without_claims_the_page_says_so(tmp_path):
    small = synthetic.results(tasks=("digits",))
    assert "No claim was tested." in page(replace(small, claims=small.claims | {"claims": []}), tmp_path)


def test_whether_compared_runs_had_the_same_budget_is_said_once_with_what_was_held(html):
    assert html.count("The precondition, that compared runs had the same budget, held. All quantities agree.") == 1
    held = re.search(r'<div id="budget">.*?</table>', html, re.DOTALL).group()
    assert "What compared runs have alike" in held and "optimiser steps" in held and "9 of 9" in held


def test_frods_share_stands_beside_the_papers_with_its_explanation(html):
    section = re.search(r'<section id="parameters">.*?</section>', html, re.DOTALL).group()
    assert re.search(r"FRoD trains [\d.]+\s%.* of the base parameters", section) and "1.72&nbsp;%" in section
    assert "docs/parameters.md" in section
