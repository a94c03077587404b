"""Every figure has its caption and label in the report that Snakemake makes: a new kind without one fails here."""

import re
from pathlib import Path

import pytest
from jinja2 import Environment, StrictUndefined

from frod.reporting.figures import names_of
from frod.reporting.naming import FIGURES, labels_of_figure

WORKFLOW = Path(__file__).parents[3] / "workflow"


@pytest.mark.parametrize("kind", FIGURES)
def test_a_kind_of_figure_has_a_caption_and_a_label(kind):
    template = Environment(undefined=StrictUndefined).from_string((WORKFLOW / "report" / "figure.rst").read_text())
    caption = template.render(snakemake={"wildcards": {"figure": f"{kind}-digits-digit_vit"}}).strip()
    assert len(caption) > 40 and caption.endswith(".")
    name = kind if kind == "difference" else names_of("digits", "digit_vit")[kind]
    assert labels_of_figure(name)["task"] == ("all" if kind == "difference" else "digits")


def test_captions_that_the_rule_names_are_there():
    named = re.findall(r'caption="\.\./report/(.*?)"', (WORKFLOW / "rules" / "report.smk").read_text())
    assert len(named) == 7
    assert {*named, "workflow.rst"} == {path.name for path in (WORKFLOW / "report").glob("*.rst")}
