"""Gradient accumulation over a model that skips layers (LayerDrop, experts): the gradients are the joined batch's."""

import gc
import weakref

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from toy import PLANS, accumulated, adapt, assert_equal, disturb, gradients, loss_of

import frod

N = 8


class Skipping(nn.Module):
    """Blocks, of which a forward uses some; it may compute others and drop what comes out, or checkpoint them."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(N, N) for _ in range(3))
        self.head = nn.Linear(N, N)

    def forward(self, x, use=(0, 1, 2), dropped=(), reentrant=None):
        for i, block in enumerate(self.blocks):
            if i in dropped:
                block(x)
            if i in use:
                y = block(x) if reentrant is None else checkpoint(block, x, use_reentrant=reentrant)
                x = x + torch.tanh(y)
        return self.head(x)


@pytest.fixture
def x():
    return torch.randn(3, 4, N, generator=torch.Generator().manual_seed(1))


def make(plan):
    torch.manual_seed(0)
    return disturb(adapt(Skipping(), r"blocks\.\d", plan=plan, train=["head"]))


def accumulate(model, x, uses):
    return accumulated(model, *({"x": x[i]} | use for i, use in enumerate(uses)))


ALL, FIRST, NONE = (0, 1, 2), (0,), ()
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
STEPS = [
    [{"use": ALL}, {"use": ALL}, {"use": FIRST}],
    [{"use": ALL}, {"use": FIRST}, {"use": (0, 2)}],
    [{"use": (1,)}, {"use": FIRST}, {"use": (2,)}],
    [{"use": ALL}, {"use": ALL}, {"use": FIRST, "dropped": (1, 2)}],
    [{"use": ALL}, {"use": ALL}, {"use": NONE}],
]


@pytest.mark.parametrize("uses", STEPS)
@pytest.mark.parametrize("plan", [*PLANS, "auto"])
def test_the_gradients_are_those_of_the_joined_batch_and_nothing_is_left_for_the_next_step(x, plan, uses):
    model = make(plan)
    sum(loss_of(model, x[i], **use) for i, use in enumerate(uses)).backward()
    expected, of_the_next = gradients(model), gradients(model, x[0])
    assert_equal(accumulate(model, x, uses), expected, **CLOSE)
    assert_equal(gradients(model, x[0]), of_the_next, **CLOSE)
    assert_equal(accumulate(model, x, uses), expected, **CLOSE)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_loses_nothing(x, reentrant):
    model = make("materialised")
    uses = [{"use": ALL}, {"use": FIRST}]
    expected = accumulate(make("factored"), x, uses)
    uses = [use | {"reentrant": reentrant} for use in uses]
    assert_equal(accumulate(model, x.requires_grad_(), uses), expected, **CLOSE)


def test_reentrant_checkpointing_is_refused_where_it_would_lose_a_gradient(x):
    """Its graphs are within the backward: no node of them comes behind all others, and here nothing else is seen."""
    model, x = make("materialised"), x.requires_grad_()
    with frod.accumulating(model):
        loss_of(model, x[0]).backward()
    loss_of(model.forward, x[1], use=FIRST, reentrant=True).backward()
    with pytest.raises(ValueError, match=r"'blocks\.1' .* use_reentrant=False"), frod.accumulating(model):
        pass


@pytest.mark.parametrize("whole_step", [True, False])
def test_a_model_can_be_freed_after_a_step_and_in_the_middle_of_one(x, whole_step):
    """Graphs and modules that hold each other through torch would stay for good."""
    model = make("materialised")
    with frod.accumulating(model):
        loss_of(model, x[0]).backward()
    if whole_step:
        loss_of(model, x[1], use=FIRST).backward()
    freed = weakref.ref(model)
    del model
    gc.collect()
    assert freed() is None


def test_a_failing_micro_batch_leaves_nothing_behind(x):
    model = make("materialised")
    expected = gradients(model, x[0])
    with pytest.raises(RuntimeError, match="no such batch"), frod.accumulating(model):
        loss_of(model, x[0]).backward()
        raise RuntimeError("no such batch")
    model.zero_grad()
    assert_equal(gradients(model, x[0]), expected, **CLOSE)
