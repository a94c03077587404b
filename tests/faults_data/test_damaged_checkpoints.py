"""A damaged checkpoint is never gone on from: wherever it was cut or altered, the training starts again and says so.

torch.load reads an altered number without a word; a training that went on from it would end in another result.
"""

import numpy as np
import pytest
import torch

from frod.training import checkpoints
from frod.training.processes import Processes


@pytest.fixture
def saved(tmp_path):
    weights = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    checkpoints.save(tmp_path / "checkpoint.pt", "fingerprint", Processes(), model={"w": weights}, step=3)
    return tmp_path / "checkpoint.pt", weights


def load(path):
    return checkpoints.load(path, "fingerprint", Processes())


def test_a_whole_one_is_what_was_saved(saved):
    path, weights = saved
    state = load(path)
    assert torch.equal(state["model"]["w"], weights) and state["step"] == 3


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_a_part_of_one_is_refused(saved, capsys, kept):
    path, _ = saved
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert load(path) is None
    assert f"{path}: damaged checkpoint, starting again (" in capsys.readouterr().err


def test_one_altered_bit_is_refused_wherever_it_matters(saved, capsys):
    path, weights = saved
    good = path.read_bytes()
    generator = np.random.default_rng(0)
    refused, tries = 0, 150
    for at in generator.choice(len(good), tries, replace=False):
        damaged = bytearray(good)
        damaged[at] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        state = load(path)
        if state is None:
            refused += 1
        else:  # the bit is in none of what is read: the filling between parts
            assert torch.equal(state["model"]["w"], weights) and state["step"] == 3
    assert refused > 0.8 * tries
    assert capsys.readouterr().err.count("starting again") == refused
