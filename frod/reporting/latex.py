"""results.tex: the comparison as a LaTeX table, tasks by methods, for a paper; needs the package booktabs."""

from __future__ import annotations

import re

from frod.evaluation import formatting as show
from frod.evaluation.runs import REFERENCE, pair_label
from frod.reporting.comparison import MethodResult
from frod.reporting.naming import metric_label
from frod.reporting.report import Report
from frod.reporting.sentences import undefined

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
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


def escape(text: str) -> str:
    """Text as LaTeX sets it literally; line breaks, which could end a comment or a paragraph, become spaces."""
    return "".join(_ESCAPES.get(character, character) for character in re.sub(r"\s*[\r\n]+\s*", " ", text))


def results_tex(report: Report) -> str:
    """The table: mean and standard deviation over seeds, difference to the reference with its interval, seeds."""
    reference = report.label(REFERENCE) if REFERENCE in report.looks else "the reference"
    lines = [
        f"% Suite {escape(report.suite['name'])}: {len(report.summary)} runs. Needs \\usepackage{{booktabs}}.",
        f"% Test metric times one hundred, mean ± standard deviation over n seeds; difference to {escape(reference)},",
        "% paired by seed, with its 95 % interval (Student's t).",
        *(f"% {escape(line)}" for line in undefined(report)),
        r"\begin{tabular}{lrrrr}",
        r"\toprule",
        r"Method & Test & Difference & 95\,\% interval & $n$ \\",
    ]
    for comparison in report.comparisons:
        where = f"{pair_label(comparison.task, comparison.backbone)}, {metric_label(comparison.primary)}"
        lines += [r"\midrule", rf"\multicolumn{{5}}{{l}}{{{escape(where)}}} \\"]
        for result in comparison.results:
            lines.append(" & ".join([rf"\quad {escape(report.label(result.method))}", *_cells(result)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _cells(result: MethodResult) -> list[str]:
    if result.method == REFERENCE:
        compared = [r"\multicolumn{2}{c}{reference}"]
    else:
        difference, interval = map(escape, show.compared(result.difference))
        compared = [difference, f"{{{interval}}}"]  # in braces, as a bracket after \\ would be its argument
    return [escape(result.shown), *compared, str(len(result.values))]
