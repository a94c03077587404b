"""The device, and the checks of numbers that it cannot answer."""

from importlib import import_module

import pytest
from without_numbers import fake_cuda

from frod.method import basis, fitness, products

HASH = "0" * 64


@pytest.fixture
def cuda():
    with fake_cuda() as device:
        yield device


@pytest.fixture(autouse=True)
def unread(monkeypatch):
    """What asks for numbers, addresses or a driver, answered without.

    Hashes and errors of a basis are those of the processor's tests; a product at the pattern only is taken from all of
    the product.
    """

    def sample(pattern, left, right):
        rows, columns = pattern.places()
        found = left @ right.T
        return found.diagonal(), found[rows, columns]

    monkeypatch.setattr(products.SparsePattern, "sample", sample)
    monkeypatch.setattr(basis.Basis, "check", lambda _: None)
    monkeypatch.setattr(fitness, "_memory", id)
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: True)
    # `frod.method.attach` is the function, once the package has it.
    monkeypatch.setattr(import_module("frod.method.attach"), "model_hash", lambda *_: HASH)
    monkeypatch.setattr("frod.method.extraction.weights_hash", lambda *_: HASH)
