"""The size chosen to match FRoD's is the nearest there is, by closed forms and by counting each size on the real model,
and choosing it reads no weight: it happens before every run, of models of any size."""

import math

import pytest
from small_models import HEADS, METHODS, SHAPES, applied, build, clip_vit_b32

from frod.config import Method
from frod.training.methods import size, trained

FROD = Method(kind="frod", sparse_rate=0.2)
SIZED = ["lora", "dora", "rslora", "pissa", "vera", "randlora", "oft"]


def to_match(method, **arguments):
    adapter = METHODS[method]
    return adapter.model_copy(update={"match_parameters": "frod", "arguments": adapter.arguments | arguments})


@pytest.mark.parametrize("architecture", ["timm", "llama"])  # a fused layer; three shapes of layers
@pytest.mark.parametrize("method", SIZED)
def test_no_other_size_is_nearer_on_the_real_model(architecture, method):
    match = size.match(build(architecture), to_match(method), FROD, None)
    argument = match.adapter.size_argument
    sizes = [2, 4, 8, 16, 32] if method == "oft" else range(1, min(min(shape) for shape in SHAPES[architecture]) + 1)

    def distance(value):
        model = applied(architecture, to_match(method, **{argument: value}))
        return abs(trained.count(model, HEADS[architecture])["adapter"] - match.target)

    assert match.adapter.arguments == METHODS[method].arguments | {argument: min(sizes, key=distance)}


def test_the_target_is_what_frod_trains():
    match = size.match(build("bert"), to_match("lora"), FROD, None)
    assert match.target == 2 * (5 * (32 + int(0.2 * 32**2)) + 64 + int(0.2 * 64**2))
    frozen = FROD.model_copy(update={"freeze": ["scale"]})
    assert size.match(build("bert"), to_match("lora"), frozen, None).target == match.target - 2 * (5 * 32 + 64)


VISION = [(768, 768)] * 4 + [(3072, 768), (768, 3072)]
CLOSED_FORMS = {
    "lora": lambda r: 12 * sum(r * (m + n) for m, n in VISION),
    "randlora": lambda r: 12 * sum(math.ceil(768 / r) * (r + 768) for _ in VISION),
}


@pytest.mark.parametrize("method", CLOSED_FORMS)
def test_sizes_of_the_paper_s_vision_model_are_the_nearest_by_the_closed_forms(method):
    match = size.match(clip_vit_b32(), to_match(method), METHODS["frod"], None)
    assert match.target == 12 * sum(n + int(0.01 * n * n) for _, n in VISION)
    assert match.adapter.arguments["r"] == min(range(1, 769), key=lambda r: abs(CLOSED_FORMS[method](r) - match.target))


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
        (to_match("lora", rank=3), "arguments.rank: LoraConfig has no such argument"),
    ],
)
def test_a_method_without_a_size_is_refused(adapter, message):
    with pytest.raises(ValueError, match=message):
        size.match(build("bert"), adapter, FROD, None)
