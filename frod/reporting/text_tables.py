"""The report's tables for a paper and for a pull request: results.tex and summary.md.

By hand rather than by pandas: its to_latex and to_markdown know neither a heading over the rows of a task nor an escape
for all that a name may hold, and their bytes are those of its version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from frod.characters import visible
from frod.evaluation import formatting as show
from frod.provenance.run_keys import REFERENCE, pair_label
from frod.reporting.comparison import MethodResult
from frod.reporting.naming import metric_label
from frod.reporting.opening import undefined
from frod.reporting.report_data import Report
from frod.reporting.verdicts import in_words, same_budget

_LATEX = {character: f"\\{character}" for character in "{}&%$#_"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "−": "$-$",
    "±": r"$\pm$",
    "–": "--",
    "\u00a0": "~",
}


def latex(text: str) -> str:
    """Text as LaTeX sets it literally; line breaks, which could end a comment or a paragraph, become spaces."""
    return "".join(_LATEX.get(character, character) for character in _one_line(text))


def markdown(text: str) -> str:
    """Text that Markdown, and the HTML it may hold, shows as it is, on one line."""
    text = _one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # An address or a name after @ would become a link by itself.
    return re.sub(r"[\\`*_\[\]#|~$@]|:(?=//)|(?<=www)\.", r"\\\g<0>", text, flags=re.IGNORECASE)


def results_tex(report: Report) -> str:
    """Tasks by methods: mean and standard deviation over seeds, difference to the reference with interval, seeds."""
    reference = report.label(REFERENCE) if REFERENCE in report.looks else "the reference"
    lines = [
        f"% Suite {latex(report.suite['name'])}: {len(report.summary)} runs. Needs \\usepackage{{booktabs}}.",
        f"% Test metric times one hundred, mean ± standard deviation over n seeds; difference to {latex(reference)},",
        "% paired by seed, with its 95 % interval (Student's t).",
        *(f"% {latex(line)}" for line in undefined(report)),
        r"\begin{tabular}{lrrrr}",
        r"\toprule",
        r"Method & Test & Difference & 95\,\% interval & $n$ \\",
    ]
    for where, results in _by_task(report):
        lines += [r"\midrule", rf"\multicolumn{{5}}{{l}}{{{latex(where)}}} \\"]
        for result in results:
            mean, *compared, seeds = map(latex, _cells(result))
            # In braces, as a bracket after \\ would be its argument.
            between = [r"\multicolumn{2}{c}{reference}"] if not compared[1] else [compared[0], f"{{{compared[1]}}}"]
            cells = [rf"\quad {latex(report.label(result.method))}", mean, *between, seeds]
            lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def summary_md(report: Report) -> str:
    """Claims and results as tables, with a line on their provenance."""
    parts = [f"### {markdown(report.title)}", ""]
    for line in undefined(report):
        parts += [markdown(line), ""]
    if report.claims["claims"]:
        rows = [[claim["title"], in_words(claim), claim["reason"]] for claim in report.claims["claims"]]
        parts += _table(["claim", "verdict", "why"], rows)
        parts += ["", "Verdicts are on this suite alone: its models, tasks, budgets and seeds.", ""]
        parts += [markdown(same_budget(report)), ""]
    columns = ["task", "method", "mean ± spread", "difference", "95 % interval", "n"]
    rows = [
        [where, report.label(result.method), *_cells(result)]
        for where, results in _by_task(report)
        for result in results
    ]
    parts += _table(columns, rows, numeric=4)
    parts += [
        "",
        "Test metric times one hundred, over n seeds; difference to full fine-tuning, paired by seed.",
        "",
        markdown(_provenance(report)),
    ]
    return "\n".join(parts) + "\n"


def _provenance(report: Report) -> str:
    """One line: which runs of which code gave these figures."""
    codes = sorted(
        {(str(r["code"].get("git_commit"))[:12], str(r["code"]["hash"])[:12]) for r in report.records.values()}
    )
    made = "; ".join(f"commit {commit}, training code {digest}" for commit, digest in codes)
    return (
        f"Suite {report.suite['name']}, {show.number(len(report.summary), 'run')}: {made}. Every figure leads to its "
        "run in index.html next to this file; report.json has the hashes of all it was made from."
    )


def _by_task(report: Report) -> Iterator[tuple[str, Sequence[MethodResult]]]:
    for found in report.comparisons:
        yield f"{pair_label(found.task, found.backbone)}, {metric_label(found.primary)}", found.results


def _cells(result: MethodResult) -> list[str]:
    compared = ("reference", "") if result.method == REFERENCE else show.compared(result.difference)
    return [result.shown, *compared, str(len(result.values))]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: int = 0) -> list[str]:
    """A table in Markdown, whose last `numeric` columns stand to the right."""
    left = len(columns) - numeric
    rule = "|" + "|".join("---" if index < left else "---:" for index in range(len(columns))) + "|"
    head, *body = ("| " + " | ".join(map(markdown, cells)) + " |" for cells in (columns, *rows))
    return [head, rule, *body]


def _one_line(text: str) -> str:
    return visible(re.sub(r"\s*[\r\n]+\s*", " ", text))
