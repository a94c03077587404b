"""docs/methods.md names every method of methods.yaml, with counts of the real shapes, so that no figure is stale."""

from pathlib import Path

import pytest
import torch
from small_models import METHODS, clip_vit_b32

from frod.method.counting import predict_parameters
from frod.training import methods
from frod.training.methods import trained

PAGE = Path(__file__).parents[4] / "docs" / "methods.md"
ROWS = {
    cells[0].strip("` "): cells
    for cells in (line.strip("|\n").split("|") for line in PAGE.read_text().splitlines() if line.startswith("| `"))
}


def test_the_page_has_every_method():
    assert list(ROWS) == list(METHODS)


@pytest.mark.parametrize("name", ROWS)
def test_its_figures_are_those_of_the_model(name):
    adapter, model = METHODS[name], clip_vit_b32()
    if adapter.kind == "frod":
        found = predict_parameters(model, sparse_rate=adapter.sparse_rate)["adapter"]
    else:
        with torch.device("meta"):
            methods.of_kind(adapter.kind).apply(model, adapter, targets=None, head=[], basis=None, seed=0)
        found = trained.count(model, [])["adapter"]
    assert ROWS[name][-1].strip() == f"{found:,}"
    assert adapter.config is None or adapter.config == ROWS[name][3].strip("` ")


def test_frod_s_default_is_peft_s_and_gives_the_released_figure():
    from peft import FrodConfig

    assert METHODS["frod"].sparse_rate == FrodConfig().sparse_rate == 0.01
    assert ROWS["frod"][-1].strip() == "1,569,276"
