"""A choice by likelihood is summed in float64 on the processor: an Apple GPU has none, and refuses to make one."""

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from without_numbers import CUDA

from frod.training.scoring import _of_answers


class Doubles(TorchDispatchMode):
    """Remembers where each result in float64 lies."""

    def __init__(self):
        super().__init__()
        self.places = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for one in tree_leaves(found):
            if isinstance(one, torch.Tensor) and one.dtype == torch.float64:
                self.places.append(one.device.type)
        return found


def test_a_score_makes_no_float64_but_on_the_processor():
    """How many tokens count is a number that the device would have to tell: a symbol stands for it."""
    with FakeTensorMode(shape_env=ShapeEnv()), Doubles() as seen:
        labels = torch.zeros(2, 3, dtype=torch.int64, device=CUDA)
        scores = _of_answers(torch.zeros(2, 3, 5, device=CUDA), labels)
    assert scores.device.type == "cpu" and scores.shape == (2,)
    assert set(seen.places) == {"cpu"}
