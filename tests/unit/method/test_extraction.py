"""Extraction from files, in parts, and in float32: the same basis as of the model in memory, or an error that helps."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from toy import TARGETS, outputs

import frod
from frod.method import extraction
from frod.method.linear import all_layers


def save(model, folder, *, prefix="", shards=1):
    """The model's weights in the Hub's layout."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {prefix + name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if shards == 1:
        save_file(state, folder / "model.safetensors")
        return folder
    files = {f"model-{i + 1:05}-of-{shards:05}.safetensors": sorted(state)[i::shards] for i in range(shards)}
    for file, names in files.items():
        save_file({name: state[name] for name in names}, folder / file)
    index = {name: file for file, names in files.items() for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return folder


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_files_give_the_basis_of_the_loaded_model(make_model, tmp_path, shards, dtype):
    model = make_model(dtype)
    expected = frod.extract_basis(model, TARGETS, progress=False)
    folder = save(model, tmp_path / "files", shards=shards)
    empty = make_model(dtype).to("meta")
    assert frod.extract_basis(empty, TARGETS, progress=False, checkpoint=folder).digest() == expected.digest()
    frod.attach(model, frod.extract_basis(empty, TARGETS, progress=False, checkpoint=folder))


def test_files_in_another_dtype_are_cast_as_loading_would(make_model, tmp_path):
    folder = save(make_model(torch.float32), tmp_path)
    loaded = make_model(torch.float32).to(torch.bfloat16)
    expected = frod.extract_basis(loaded, TARGETS, progress=False)
    empty = make_model(torch.bfloat16).to("meta")
    assert frod.extract_basis(empty, TARGETS, progress=False, checkpoint=folder).digest() == expected.digest()


@pytest.mark.parametrize("name", ["bert", "gpt2", "timm"])
def test_a_bare_encoder_s_files_serve_the_model_with_a_head_and_fused_layers_are_cut(build, tmp_path, name):
    model = build(name, "cpu")
    body = {"bert": "bert", "gpt2": "transformer"}.get(name)
    folder = save(model.get_submodule(body) if body else model, tmp_path)
    expected = frod.extract_basis(model, progress=False)
    assert frod.extract_basis(build(name), progress=False, checkpoint=folder).digest() == expected.digest()


def test_what_the_files_lack_or_have_in_another_shape_is_named(make_model, tmp_path):
    empty = make_model().to("meta")
    (tmp_path / "none").mkdir()
    save(make_model(layers=2), tmp_path / "short")
    save(make_model(n=4), tmp_path / "narrow")
    file = save(make_model(), tmp_path / "cut") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    for folder, message in {
        "none": "holds no safetensors file",
        "short": r"the weight of 'blocks\.2\.attention' is in none of its files",
        "narrow": r"'blocks\.0\.attention\.weight' has the shape \(4, 4\), in the model it is \(8, 8\)",
        "cut": r"cut/model\.safetensors cannot be read: .* cut short; fetch it again",
    }.items():
        with pytest.raises(ValueError, match=message):
            frod.extract_basis(empty, TARGETS, progress=False, checkpoint=tmp_path / folder)


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_parts_make_up_the_whole(make_model, tmp_path, parts):
    model = make_model()
    whole = frod.extract_basis(model, TARGETS, progress=False)
    made = []
    for i in range(parts):
        frod.extract_basis(model, TARGETS, progress=False, part=(i, parts)).save(tmp_path / str(i))
        made.append(frod.Basis.load(tmp_path / str(i)))
    assert sorted(name for part in made for name in part.categories) == sorted(whole.categories)
    joined = frod.Basis.join(made)
    assert joined.digest() == whole.digest()
    assert list(joined.categories) == list(whole.categories)
    with pytest.raises(ValueError, match=r"the parts hold .*, the model has"):
        frod.Basis.join(made[1:])
    other = frod.extract_basis(make_model(seed=1), TARGETS, progress=False, part=(0, parts))
    with pytest.raises(ValueError, match="parts differ in model_hash"):
        frod.Basis.join([other, *made[1:]])
    with pytest.raises(ValueError, match="only in the model"):
        frod.attach(model, made[0])
    with pytest.raises(ValueError, match=r"part=\(5, 5\)"):
        frod.extract_basis(model, TARGETS, progress=False, part=(5, 5))


def test_the_dearest_categories_go_to_different_parts(make_model):
    # fc2-like "down" (n = 24) costs nine times "up" (n = 8): nothing else may go next to it.
    made = [frod.extract_basis(make_model(), TARGETS, progress=False, part=(i, 2)) for i in range(2)]
    assert ["blocks.*.down"] in [list(part.categories) for part in made]


def test_float32_says_how_far_it_is_from_float64_and_gives_way_where_that_is_too_far(make_model, monkeypatch):
    exact = frod.extract_basis(make_model(), TARGETS, progress=False)
    rough = frod.extract_basis(make_model(), TARGETS, dtype=torch.float32, progress=False)
    square = rough.categories.pop("blocks.*.down")  # no eigenvectors are asked for: see test_degenerate.py
    assert torch.equal(square.V, exact.categories["blocks.*.down"].V)
    for name, category in rough.categories.items():
        assert category.facts["dtype"] == "float32"
        assert exact.categories[name].facts["eigenvector_error"] < 1e-12 < category.facts["eigenvector_error"] < 1e-4
    monkeypatch.setitem(extraction.EIGENVECTOR_BOUND, "float32", 1e-12)
    refined = frod.extract_basis(make_model(), TARGETS, dtype=torch.float32, progress=False)
    del refined.categories["blocks.*.down"], exact.categories["blocks.*.down"]
    assert {category.facts["dtype"] for category in refined.categories.values()} == {"float64"}
    assert refined.digest() == exact.digest()


def test_autocast_rounds_neither_the_basis_nor_what_is_attached(make_model):
    model = make_model()
    expected = frod.extract_basis(model, TARGETS, progress=False)
    with torch.autocast("cpu", torch.bfloat16):
        assert frod.extract_basis(model, TARGETS, progress=False).digest() == expected.digest()
        frod.attach(model, expected)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["shared", "layer_svd", "random"])
def test_a_weight_that_is_not_finite_is_refused(make_model, kind, number):
    model = make_model()
    with torch.no_grad():
        model.blocks[1].up.weight[2, 3] = number
    with pytest.raises(ValueError, match="a target weight holds NaN or infinity"):
        frod.extract_basis(model, TARGETS, kind=kind, progress=False)


@pytest.mark.parametrize("kind", ["shared", "layer_svd", "random"])
def test_a_default_device_of_torch_changes_nothing(make_model, tmp_path, kind):
    """Set in a script to "cuda"; "meta" stands in for it, where a number that went there would be lost."""
    model, plain, other, fresh = make_model(), make_model(), make_model(), make_model()
    expected = frod.extract_basis(plain, TARGETS, kind=kind, progress=False).digest()
    with torch.device("meta"):
        basis = frod.extract_basis(model, TARGETS, kind=kind, progress=False)
        assert basis.digest() == expected
        frod.attach(model, basis, sparse_rate=0.1, train=[])
        frod.attach(model, basis, sparse_rate=0.1, seed=1, train=[], name="second")
        frod.combine(model, {"default": 0.5, "second": 0.5}, name="sum")
        frod.save_adapter(model, tmp_path / "saved", with_basis=True)
    frod.attach(other, basis, sparse_rate=0.1, train=[])
    for layer, same in zip(all_layers(frod.set_adapter(model, "default")), all_layers(other), strict=True):
        assert torch.equal(torch.stack(layer.pattern_places()), torch.stack(same.pattern_places()))
    turned = {name: replace(one, V=-one.V, V_inv_t=-one.V_inv_t) for name, one in basis.categories.items()}
    with torch.device("meta"), pytest.warns(UserWarning, match="converted"):
        frod.load_adapter(fresh, tmp_path / "saved", replace(basis, categories=turned))
    x = torch.ones(2, 8)
    assert torch.equal(outputs(fresh, x), outputs(plain, x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"facts": {"largest_reconstruction_error": 0.1}}, "largest_reconstruction_error is 0.1, more than 1e-05"),
        ({"facts": {"largest_reconstruction_error": float("nan")}}, "largest_reconstruction_error is nan"),
        ({"facts": {"dtype": "float32", "eigenvector_error": 0.1}}, r"again with dtype=torch\.float64"),
        ({"V_inv_t": torch.eye(24)}, "V and the inverse stored with it disagree"),
    ],
)
def test_a_basis_beyond_its_bounds_is_not_attached(make_model, change, message):
    model = make_model()
    basis = frod.extract_basis(model, TARGETS, progress=False)
    category = basis.categories["blocks.*.down"]
    basis.categories["blocks.*.down"] = replace(category, **change)
    with pytest.raises(ValueError, match=message):
        frod.attach(model, basis)
    assert not hasattr(model, "_frod")


def test_progress_is_a_line_per_category_where_there_is_no_terminal(make_model, capsys):
    frod.extract_basis(make_model(), TARGETS)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("basis of")]
    assert [line.split(":")[0] for line in lines] == [f"basis of blocks.*.{name}, 3 layers" for name in TARGETS]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_basis_does_not_depend_on_the_number_of_threads(dtype):
    """Digest for digest: in one thread, in several, with torch's own number of threads at one or two."""
    torch.manual_seed(0)
    kinds = ("up", "gate", "down")
    blocks = [torch.nn.ModuleDict({kind: torch.nn.Linear(96, 130) for kind in kinds}) for _ in range(4)]
    model, digests, before = torch.nn.ModuleList(blocks), set(), torch.get_num_threads()
    for torch_threads, threads in ((1, None), (2, None), (1, 3), (2, 1), (2, 2)):
        torch.set_num_threads(torch_threads)
        digests.add(frod.extract_basis(model, list(kinds), dtype=dtype, progress=False, threads=threads).digest())
        assert torch.get_num_threads() == torch_threads
    torch.set_num_threads(before)
    assert len(digests) == 1
