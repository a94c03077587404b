"""Which layers are found, how they are grouped, and what is refused with a reason."""

import copy

import pytest
from torch import nn

from frod.method import blocks, targets

BERT = "attention.self.query attention.self.key attention.self.value attention.output.dense"
MPNET = "attention.attn.q attention.attn.k attention.attn.v attention.attn.o intermediate.dense output.dense"
QKV = "self_attn.q_proj self_attn.k_proj self_attn.v_proj"
DEFAULTS = [
    ("bert", "layer.*.", f"{BERT} intermediate.dense output.dense"),
    ("mpnet", "layer.*.", MPNET),
    ("llama", "layers.*.", f"{QKV} self_attn.o_proj mlp.gate_proj mlp.up_proj"),
    ("clip", "layers.*.", f"{QKV} self_attn.out_proj mlp.fc1 mlp.fc2"),
    ("gpt2", "h.*.", "attn.c_attn attn.c_proj mlp.c_fc mlp.c_proj"),
    ("timm", "blocks.*.", "attn.qkv.q attn.qkv.k attn.qkv.v attn.proj mlp.fc1 mlp.fc2"),
]


@pytest.mark.parametrize("name, block, roles", DEFAULTS)
def test_the_defaults_of_an_architecture(build, name, block, roles):
    model = build(name)
    found = targets.find(model)
    assert set(found) == {block + role for role in roles.split()}
    assert all(len(layers) == 2 for layers in found.values())
    for layers in found.values():
        for layer_name, layer in layers.items():
            if isinstance(layer, targets.FusedSlice):
                outer, _, role = layer_name.rpartition(".")
                third = model.get_submodule(outer).weight.shape[0] // 3
                at = "qkv".index(role) * third
                assert model.get_submodule(outer) is layer.layer
                assert (layer.rows.start, layer.rows.stop) == (at, at + third)
            else:
                assert model.get_submodule(layer_name) is layer
            assert not any(part in layer_name for part in ("classifier", "score", "pooler", "embed", "head"))


def test_roberta_leaves_its_classifier_alone(build):
    # Its head has layers called dense and out_proj, the names of layers in the blocks of other models.
    names = [name for layers in targets.find(build("roberta")).values() for name in layers]
    assert len(names) == 12
    assert all(name.startswith("roberta.encoder.layer.") for name in names)


def test_the_default_is_found_inside_a_wrapper(build):
    wrapper = nn.ModuleDict({"encoder": build("bert").bert, "head": nn.Linear(8, 2)})
    assert set(targets.find(wrapper)) == set(targets.find(build("bert")))


def grouped(model, given):
    """Names of the layers by category."""
    return {category: list(layers) for category, layers in targets.find(model, given).items()}


def test_suffixes_and_regular_expressions_match_as_in_peft(build):
    model, attention = build("llama"), "layers.*.self_attn."
    assert set(targets.find(model, ["q_proj", "v_proj"])) == {f"{attention}q_proj", f"{attention}v_proj"}
    found = list(targets.find(model, r".*\.0\.self_attn\.[qk]_proj"))
    assert found == [f"{attention}q_proj", f"{attention}k_proj"]
    with pytest.raises(ValueError, match="match no linear layer"):
        targets.find(model, r"self_attn\.q_proj")  # a regular expression has to match the full name


def test_canonical_names_do_not_depend_on_what_wraps_the_blocks():
    inside = [f"layer.{i}.attention.{part}" for i in (0, 1) for part in "qk"]
    for prefix in ("", "encoder.", "bert.encoder.", "model.bert.encoder."):
        names = [prefix + name for name in inside]
        assert list(targets.canonical_names(names).values()) == inside
    pooled = ["encoder.layer.0.q", "pooler.dense"]
    assert targets.canonical_names(["bert." + name for name in pooled]) == {"bert." + name: name for name in pooled}
    assert targets.canonical_names(["bert.layer.0.attention.q", "bert.layer.0.attention.k"]) == {
        "bert.layer.0.attention.q": "layer.0.attention.q",
        "bert.layer.0.attention.k": "layer.0.attention.k",
    }
    assert targets.canonical_names(["net.fc"]) == {"net.fc": "fc"}
    assert targets.canonical_names([]) == {}


def test_places_in_a_sequential_are_roles_of_their_own():
    blocks = nn.ModuleList(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4)) for _ in "ab")
    found = grouped(nn.ModuleDict({"blocks": blocks}), r"blocks\.\d\.[02]")
    assert found == {f"blocks.*.{at}": [f"blocks.0.{at}", f"blocks.1.{at}"] for at in (0, 2)}


def test_stages_of_different_width_do_not_share_a_basis():
    stages = [nn.ModuleDict({"fc": nn.Linear(n, n)}) for n in (4, 4, 8)]
    found = targets.find(nn.ModuleDict({"stages": nn.ModuleList(stages)}), ["fc"])
    assert {category: len(layers) for category, layers in found.items()} == {"stages.*.fc@4": 2, "stages.*.fc@8": 1}


def of(*shapes, **children):
    """A module of the children named, or of layers of such shapes by the names w1, w3."""
    layers = {f"w{2 * i + 1}": nn.Linear(n, m) for i, (m, n) in enumerate(shapes)}
    return nn.ModuleDict(layers | children)


def test_an_index_may_stand_within_a_name():
    for name in ("encoder_layer_{}", "h_{}", "layer{}", "block{}_gpu"):
        blocks = {name.format(i): of((4, 4), (4, 4)) for i in (0, 1, 10)}
        found = grouped(nn.ModuleDict({"encoder": nn.ModuleDict(blocks)}), ["w1", "w3"])
        star = name.format("*")
        assert found == {f"{star}.{w}": [f"encoder.{name.format(i)}.{w}" for i in (0, 1, 10)] for w in ("w1", "w3")}


def test_a_number_in_a_name_is_a_role_where_the_layers_below_are_others():
    model = of(fc1=of((8, 4)), fc2=of((4, 8)), fc3=of((8, 4), (4, 4)))
    assert set(targets.find(model, ["w1", "w3"])) == {"fc1.w1", "fc2.w1", "fc3.w1", "fc3.w3"}


def test_within_a_block_a_number_in_a_name_is_a_role():
    def block():
        return of(attn1=of((4, 4)), attn2=of((4, 4)))

    expected = {"attn1.w1", "attn2.w1"}
    listed = nn.ModuleDict({"blocks": nn.ModuleList(block() for _ in "ab")})
    assert set(targets.find(listed, ["w1"])) == {f"blocks.*.{role}" for role in expected}
    named = of(h_0=block(), h_1=block())
    assert set(targets.find(named, ["w1"])) == {f"h_*.{role}" for role in expected}
    # A number that all have in common, such as a place in a wrapper, is no block's.
    wrapped = nn.Sequential(nn.ModuleDict({f"h_{i}": of((4, 4)) for i in "01"}))
    assert set(targets.find(wrapped, ["w1"])) == {"*.h_*.w1"}


def test_stages_by_name_share_where_their_widths_agree():
    model = nn.ModuleDict({f"layer{i}": nn.Sequential(of((n, n)), of((n, n))) for i, n in enumerate((4, 4, 8), 1)})
    found = targets.find(model, ["w1"])
    assert {category: len(layers) for category, layers in found.items()} == {"layer*.*.w1": 4, "layer3.*.w1": 2}


def test_blocks_are_counted_by_their_index_wherever_it_stands():
    names = {f"encoder_layer_{i}.mlp.{at}": i for i in (0, 11) for at in (0, 3)}
    assert blocks.block_indices(dict.fromkeys(names, (4, 4))) == names
    names = {"layer1.0.fc": 0, "layer1.1.fc": 1, "layer2.0.fc": 0, "pool.fc2": None, "2": 2}
    assert blocks.block_indices(dict.fromkeys(names, (4, 4))) == names


@pytest.mark.parametrize("name", ["bert", "llama", "gpt2", "causal", "tied"])
def test_all_linear_means_what_it_means_to_peft(build, name):
    import peft

    model, task = build(name, "cpu"), "CAUSAL_LM" if name in ("causal", "tied") else "SEQ_CLS"
    expected = peft.LoraConfig(target_modules="all-linear", task_type=task, fan_in_fan_out=name == "gpt2")
    adapted = peft.get_peft_model(copy.deepcopy(model), expected)
    for given in ("all-linear", "All-Linear", ["all-linear"]):
        found = {name for layers in targets.find(model, given).values() for name in layers}
        assert found == set(adapted.targeted_module_names)
    assert targets.resolve(model, ["all-linear"]) == "all-linear"


def test_all_linear_serves_an_encoder_and_the_same_with_a_head(build):
    model = build("timm")
    found = targets.find(model, "all-linear")
    assert set(found) == set(targets.find(model))  # all four kinds of a block are timm's defaults
    bert = build("bert")
    assert set(targets.find(bert.bert, "all-linear")) == set(targets.find(bert, "all-linear"))
    with pytest.raises(ValueError, match="no linear layer but its head"):
        targets.find(nn.ModuleDict({"head": nn.Linear(2, 2)}), "all-linear")


def test_an_unknown_architecture_is_named():
    with pytest.raises(ValueError, match=r"model type 'Sequential' has no default targets.*targets=\['q_proj'"):
        targets.find(nn.Sequential(nn.Linear(2, 2)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["q_proj", "nonsense"], r"\['nonsense'\] match no linear layer"),
        ([], "names no layer"),
        (["embed_tokens"], r"a Embedding; only nn\.Linear"),
    ],
)
def test_a_target_that_is_no_layer_to_adapt_is_named(build, given, message):
    with pytest.raises(ValueError, match=message):
        targets.find(build("llama"), given)


def test_a_layer_whose_forward_is_never_called_is_refused():
    """Its weight is read: an adapter there would do nothing."""
    with pytest.raises(ValueError, match="NonDynamicallyQuantizableLinear"):
        targets.find(nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2)}), ["out_proj"])


def test_shared_weights_are_refused_with_the_other_user_named():
    model = nn.ModuleDict({"embed": nn.Embedding(6, 4), "out": nn.Linear(4, 6, bias=False)})
    model["out"].weight = model["embed"].weight
    with pytest.raises(ValueError, match=r"'out' shares its weight with 'embed.weight'"):
        targets.find(model, ["out"])
    layer = nn.Linear(4, 4)
    with pytest.raises(ValueError, match="shares its weight"):
        targets.find(nn.ModuleDict({"a": layer, "b": layer}), ["a"])
