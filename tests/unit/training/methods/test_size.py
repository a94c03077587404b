"""The size chosen to match FRoD's is the nearest there is, by closed forms and by counting each size on the real model,
and choosing it reads no weight: it happens before every run, of models of any size."""

import math

import pytest
import torch
from small_models import HEADS, SHAPES, build

from frod.config import Method
from frod.config.workflow import known_methods
from frod.training import methods
from frod.training.methods import size, trained

METHODS = {name: Method(**settings) for name, settings in known_methods().items()}
FROD = Method(kind="frod", sparse_rate=0.2)
SIZED = ["lora", "dora", "rslora", "pissa", "vera", "randlora", "oft"]


def to_match(method, **arguments):
    adapter = METHODS[method]
    return adapter.model_copy(update={"match_parameters": "frod", "arguments": adapter.arguments | arguments})


def counted(adapter, architecture):
    model = build(architecture)
    methods.of_kind("peft").apply(model, adapter, targets=None, head=HEADS[architecture], basis=None, seed=0)
    return trained.count(model, HEADS[architecture])["adapter"]


@pytest.mark.parametrize("architecture", ["timm", "llama"])  # a fused layer; three shapes of layers
@pytest.mark.parametrize("method", SIZED)
def test_no_other_size_is_nearer_on_the_real_model(architecture, method):
    match = size.match(build(architecture), to_match(method), FROD, None)
    argument = match.adapter.size_argument
    sizes = [2, 4, 8, 16, 32] if method == "oft" else range(1, min(min(shape) for shape in SHAPES[architecture]) + 1)

    def distance(value):
        adapter = METHODS[method]
        return abs(
            counted(adapter.model_copy(update={"arguments": adapter.arguments | {argument: value}}), architecture)
            - match.target
        )

    assert match.adapter.arguments[argument] == min(sizes, key=distance)
    others = METHODS[method].arguments
    assert {k: v for k, v in match.adapter.arguments.items() if k != argument} == {
        k: v for k, v in others.items() if k != argument
    }


def test_the_target_is_what_frod_trains():
    match = size.match(build("bert"), to_match("lora"), FROD, None)
    assert match.target == 2 * (5 * (32 + int(0.2 * 32**2)) + 64 + int(0.2 * 64**2))


@pytest.fixture(scope="module")
def vision():
    """CLIP ViT-B/32's image encoder, by transformers' defaults, without weights."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    with torch.device("meta"):
        return CLIPVisionModel(CLIPVisionConfig())


def test_sizes_of_the_paper_s_vision_model_are_the_nearest_by_the_closed_forms(vision):
    rate = 0.01
    shapes = [(768, 768)] * 4 + [(3072, 768), (768, 3072)]
    target = 12 * sum(n + int(rate * n * n) for _, n in shapes)
    forms = {
        "lora": lambda r: 12 * sum(r * (m + n) for m, n in shapes),
        "randlora": lambda r: 12 * sum(math.ceil(768 / r) * (r + 768) for _ in shapes),
    }
    like = Method(kind="frod", sparse_rate=rate)
    for method, form in forms.items():
        match = size.match(vision, to_match(method), like, None)
        assert match.target == target
        assert match.adapter.arguments["r"] == min(range(1, 769), key=lambda r: abs(form(r) - target))


def test_sizes_that_a_method_refuses_do_not_count():
    # C3A's blocks have to divide both sides of each layer; peft refuses all others.
    adapter = Method(kind="peft", config="C3AConfig", arguments={}, match_parameters="frod", size_argument="block_size")
    match = size.match(build("bert"), adapter, FROD, None)
    per_size = {b: 2 * (4 * 32 * 32 + 2 * 32 * 64) // b for b in (1, 2, 4, 8, 16, 32)}
    assert match.adapter.arguments == {"block_size": min(per_size, key=lambda b: abs(per_size[b] - match.target))}


def test_facts_for_the_record():
    match = size.match(build("bert"), to_match("vera"), FROD, None)
    assert match.facts(reached=960) == {
        "to": "frod",
        "argument": "r",
        "value": 32,
        "target": match.target,
        "reached": 960,
    }


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (to_match("ia3"), "match_parameters is 'frod', but IA3Config has no argument 'r'"),
        (to_match("lora", rank=3), "LoraConfig does not take these arguments"),
    ],
)
def test_a_method_without_a_size_is_refused(adapter, message):
    with pytest.raises(ValueError, match=message):
        size.match(build("bert"), adapter, FROD, None)
