"""docs/suite.md has every key that a suite's file may hold, as the models that check it describe them."""

import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "docs" / "suite.py"


def test_the_page_is_what_the_models_say():
    assert SCRIPT.with_suffix(".md").read_text() == runpy.run_path(str(SCRIPT))["page"](), "run `python docs/suite.py`"
