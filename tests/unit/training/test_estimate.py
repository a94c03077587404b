"""`frod cost` counts what is published and estimates what was measured: one that is off would mislead a whole study."""

import csv
import functools
import json
from collections import defaultdict
from pathlib import Path
from statistics import median

import pytest
import yaml

from frod.backbones import registry
from frod.cli.cost import cost
from frod.config import Method, load
from frod.config.suite import MethodBasis
from frod.pipeline.load import load_workflow
from frod.tasks import registry as tasks
from frod.tasks.registry import TaskSpec
from frod.training.estimate import PREDICTION, STEP, Skeleton, estimate, measured_speed, split_sizes, stored

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "bench" / "results"
# Published, without a head. CLIP: the vision tower. RoBERTa-large: 355,359,744 less the pooler (1024 x 1024 + 1024),
# which a classifier does not have. Llama-2-7B: 6,738,415,616 less the output layer (4096 x 32000). MiniLM: all of it.
# DINOv2-small: 22,056,576 less the mask token, which the export lacks.
PUBLISHED = {
    "clip_vit_b32": 87_456_000,
    "clip_vit_b32_timm": 87_456_000,
    "roberta_large": 355_359_744 - 1_049_600,
    "llama2_7b": 6_738_415_616 - 131_072_000,
    "minilm": 22_713_216,
    "dinov2_small_saliency": 22_056_576 - 384,
}
# Of FRoD's adapter at the released sparse rates.
ADAPTERS = {"clip_vit_b32": (0.01, 1_569_276), "roberta_large": (0.02, 10_790_760), "llama2_7b": (0.02, 65_210_880)}


def clip_suite(root, batch=64, threads=1):
    """A suite of the methods that bench/ measures, on CLIP."""
    body = {"lr": 0.1, "lr_head": 0.1}
    rates = {"frod": {"lr_scale": 0.1, "lr_rotation": 0.1, "lr_head": 0.1}} | dict.fromkeys(
        ("full_ft", "lora", "vera"), body
    )
    one = {"tasks": ["dtd"], "backbone": "clip_vit_b32", "rates": rates, "resources": {"threads": threads}}
    one["training"] = {"batch_size": batch, "accumulation": 1, "precision": "float32", "epochs": 1}
    return loaded(root, one, full_ft={}, frod={"sparse_rate": 0.01}, lora={}, vera={})


def loaded(root, experiment, protocol="audited", **methods):
    """The workflow of a suite of one experiment."""
    suite = {"title": "s", "description": "s", "seeds": [0], "methods": methods, "experiments": [experiment]}
    (root / "workflow/suites").mkdir(parents=True, exist_ok=True)
    (root / "workflow/suites/s.yaml").write_text(yaml.safe_dump(suite))
    return load({"suite": "s", "protocol": protocol}, root)


@pytest.fixture(scope="module")
def skeleton():
    """A backbone of the registry by name; each is built once."""
    known = registry.load()
    return functools.cache(lambda name: Skeleton(name, known[name], ROOT / "data" / "models"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(skeleton, name):
    assert skeleton(name).body == PUBLISHED[name]


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_adapters_are_the_released_ones(skeleton, name):
    rate, numbers = ADAPTERS[name]
    assert skeleton(name).trained(Method(kind="frod", sparse_rate=rate)) == numbers
    halves = [Method(kind="frod", sparse_rate=rate, freeze=[group]) for group in ("scale", "rotation")]
    assert sum(map(skeleton(name).trained, halves)) == numbers
    assert skeleton(name).trained(halves[1]) == skeleton(name).trained(Method(kind="frod", sparse_rate=0))


def test_a_basis_of_each_layer_takes_room_for_each(skeleton):
    shared, own = (
        Method(kind="frod", sparse_rate=0.01, basis=basis) for basis in (None, MethodBasis(kind="layer_svd"))
    )
    rows = [skeleton("clip_vit_b32").plan(method) for method in (shared, own)]
    assert [row.basis_bytes * row.layers for row in rows[0]] == [row.basis_bytes for row in rows[1]]


def test_heads_and_peft_are_counted_by_their_formulas(skeleton):
    clip, roberta = skeleton("clip_vit_b32"), skeleton("roberta_large")
    assert clip.head(196) == 768 * 196 + 196
    assert roberta.head(3) == 1024 * 1024 + 1024 + 1024 * 3 + 3
    lora = Method(kind="peft", config="LoraConfig", arguments={"r": 8})
    assert clip.trained(lora) == 12 * 8 * (4 * (768 + 768) + 2 * (768 + 3072))
    assert clip.trained(Method(kind="linear_probe")) == 0


def test_multiply_adds_of_a_forward_pass_by_hand(skeleton):
    tokens, width, inner = 50, 768, 3072
    linear = 12 * tokens * (4 * width * width + 2 * width * inner)
    attention = 12 * 2 * tokens * tokens * width
    patches = 49 * 3 * 32 * 32 * width
    clip = skeleton("clip_vit_b32")
    assert clip.length("images") == tokens
    assert clip.forward(tokens) == pytest.approx(linear + attention + patches, rel=1e-3)  # and a head of two outputs
    assert skeleton("llama2_7b").forward(100) == pytest.approx(100 * (6_607_343_616 - 131_072_000), rel=0.01)


@pytest.mark.parametrize(("edge", "patches"), [(None, 256), (42, 9), (56, 16)])
def test_an_image_of_another_size_has_other_tokens(skeleton, edge, patches):
    """DINOv2's patches have 14 pixels; by itself it takes its preprocessor's 224, not the 518 of its positions."""
    model, width = skeleton("dinov2_small_saliency").at(edge), 384
    tokens = 1 + patches
    assert model.length("images") == tokens
    linear = 12 * tokens * 12 * width * width
    attention, embedding = 12 * 2 * tokens * tokens * width, patches * 3 * 14 * 14 * width
    assert model.forward(tokens) == pytest.approx(linear + attention + embedding, rel=1e-3)


def test_a_basis_is_v_and_its_inverse_for_each_kind_of_layer(skeleton, tmp_path):
    """And arrays of images are bytes, weights as many as their files have."""
    models = {"clip_vit_b32": skeleton("clip_vit_b32")}
    found = stored(clip_suite(tmp_path), models, tasks.load())
    assert found["bases"] == sum(4 * (2 * n * n + 12 * n) for n in [768] * 5 + [3072])
    assert found["weights"] == 4 * PUBLISHED["clip_vit_b32"]
    assert found["prepared arrays"] == 224 * 224 * 3 * sum(split_sizes("dtd", tasks.load()["dtd"]).values())


@pytest.fixture(scope="module")
def clip_like_the_bench(tmp_path_factory, skeleton):
    """Returns the estimate of a step and of its memory for a method at a batch size, at the measured speed."""
    root = tmp_path_factory.mktemp("bench")
    speed, where = measured_speed(RESULTS, "cpu", registry.load())
    assert "step-cpu-clip-vit-b32-b64 on AMD EPYC" in where
    models = {"clip_vit_b32": skeleton("clip_vit_b32")}
    return lambda **setting: estimate(clip_suite(root, **setting), models, tasks.load(), speed=speed, device="cpu")


@pytest.mark.parametrize("batch", [16, 64])
def test_the_estimate_is_near_what_bench_measured(clip_like_the_bench, batch):
    """Every method there: a step within a factor 1.7 of its seconds, the peak within a factor 1.3 of its bytes."""
    steps, memory = (
        json.loads((RESULTS / f"{w}-cpu-clip-vit-b32-b{batch}.json").read_text()) for w in ("step", "memory")
    )
    compared = 0
    for jobs in clip_like_the_bench(batch=batch, threads=steps["machine"]["threads"]):
        seconds = jobs.train_seconds / jobs.steps / steps["methods"][jobs.method]["median"]
        size = jobs.memory_bytes / memory["methods"][jobs.method]["peak_steps"]
        assert 1 / 1.7 < seconds < 1.7, jobs.method
        assert 1 / 1.3 < size < 1.3, jobs.method
        compared += 1
    assert compared == 4


def test_a_speed_that_is_not_known_names_the_way_out(tmp_path):
    with pytest.raises(ValueError, match=r"--device cuda: .* has no step-cuda-.*--tflops"):
        measured_speed(tmp_path, "cuda", registry.load())


def test_rows_are_those_that_no_other_split_draws():
    found = tasks.load()
    assert split_sizes("digits", found["digits"]) == {"test": 360, "validation": 180, "train": 1797 - 360 - 180}
    assert split_sizes("sst2", found["sst2"]) == {"test": 872, "validation": 872, "train": 67349 - 872}
    without = found["sst2"].model_copy(update={"rows": {}})
    with pytest.raises(ValueError, match=r"tasks: sst2\.rows: lacks 'validation'"):
        split_sizes("sst2", without)


@pytest.mark.parametrize("protocol", ["audited", "released"])
def test_released_watches_test_and_a_trial_never_opens_it(skeleton, tmp_path, protocol):
    rates = {"lr": 0.1, "lr_head": 0.1}
    one = {"tasks": ["mnli"], "backbone": "minilm", "training": {"epochs": 4, "max_validation": 50}}
    one |= {"rates": {"full_ft": rates}, "grid": {"full_ft": [rates]}}
    model, known = skeleton("minilm"), tasks.load()
    sizes = split_sizes("mnli", known["mnli"])
    tests = {split: size for split, size in sizes.items() if split.startswith("test")}
    assert len(tests) == 2
    workflow = loaded(tmp_path, one, protocol, full_ft={})
    found = {j.trial: j for j in estimate(workflow, {"minilm": model}, known, speed=1e9, device="cuda")}
    predicted = {
        trial: round((jobs.hours * 3600 - jobs.train_seconds) * 1e9 / model.forward(40))
        for trial, jobs in found.items()
    }
    if protocol == "audited":
        assert predicted == {False: 4 * 50 + sum(tests.values()), True: 4 * 50}
        disk = {trial: jobs.disk_bytes - STEP * jobs.steps for trial, jobs in found.items()}
        assert disk[True] == PREDICTION * sizes["validation"]  # history and predictions alone
        assert disk[False] == disk[True] + PREDICTION * sum(tests.values()) + 4 * found[False].trained
    else:
        assert predicted == {False: 3 * tests["test"] + sum(tests.values())}


def test_a_model_without_an_architecture_names_the_field(tmp_path):
    lacking = registry.load()["roberta_large"].model_copy(update={"architecture": None})
    with pytest.raises(ValueError, match=r"backbones: mine\.architecture: is missing"):
        Skeleton("mine", lacking, tmp_path)


def test_the_estimate_is_near_what_the_runs_took(tmp_path):
    """Trained numbers are those of the recorded runs; a step's seconds are of their order, on another, busy machine."""
    with (ROOT / "reports" / "published" / "smoke" / "results.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["backbone"] == "minilm"]  # the others' steps are overhead
    taken = defaultdict(list)
    for row in rows:
        taken[row["task"], row["method"]].append(float(row["train_seconds"]) / int(row["steps"]))
    trained = {(row["task"], row["method"]): int(row["trainable_parameters"]) for row in rows}
    cost(suite="smoke", file=ROOT / "params.yaml", json=tmp_path / "jobs.json", device="cpu", tflops=None)
    estimated = {
        (jobs["task"], jobs["method"]): jobs
        for jobs in json.loads((tmp_path / "jobs.json").read_text())["jobs"]
        if not jobs["trial"]
    }
    assert len(taken) >= 4
    for key, seconds in taken.items():
        jobs = estimated[key]
        assert 0.1 < jobs["train_seconds"] / jobs["steps"] / median(seconds) < 10, key
        assert jobs["trained"] == trained[key]
        assert jobs["count"] == len(seconds)


def test_the_command_prints_a_table_and_what_it_assumes(capsys):
    file = ROOT / "params.yaml"
    assert yaml.safe_load(file.read_text())["suite"] == "smoke"
    cost(suite=None, file=file, json=None, device="cuda", tflops=50.0)
    printed = " ".join(capsys.readouterr().out.split())
    assert "Suite smoke on cuda: an estimate" in printed
    assert "Speed assumed, not measured: 50 Tflop/s sustained" in printed
    assert "40 of sentences" in printed
    assert "Not in the hours: loading" in printed
    for wrong in ({"device": "tpu", "tflops": None}, {"device": "cpu", "tflops": 0.0}):
        with pytest.raises(ValueError, match=r"--(device tpu|tflops 0\.0): should be"):
            cost(suite=None, file=file, json=None, **wrong)


def test_rows_of_ones_own_data_are_counted(tmp_path):
    (tmp_path / "mine.csv").write_text("text,label\n" + "".join(f"text {i},{i % 2}\n" for i in range(20)))
    own = {"title": "t", "kind": "sentences", "source": {"path": str(tmp_path / "mine.csv")}, "licence": "mine"}
    own |= {"columns": {"text": ["text"]}, "classes": 2, "metrics": ["accuracy"], "train": {"from": "all"}}
    own |= {"validation": {"from": "all", "rows": 4}, "test": {"from": "all", "rows": 6}}
    assert split_sizes("mine", TaskSpec.model_validate(own)) == {"test": 6, "validation": 4, "train": 10}


@pytest.mark.parametrize(
    ("method", "per_cent"),
    [("frod", 0.17), ("frod_002", 0.333), ("lora", 0.285), ("full_ft", 100.0)],
)
def test_shares_of_llama_3_2_are_peft_s(method, per_cent):
    """What peft's benchmark prints of its own models (method_comparison/MetaMathQA): per cent of numbers trained."""
    workflow, backbones, known = load_workflow({"suite": "metamath"}, ROOT)
    model = Skeleton("llama3_2_3b", backbones["llama3_2_3b"], ROOT, ["q_proj", "v_proj"], causal=True)
    found = estimate(workflow, {"llama3_2_3b": model}, known, speed=1e14, device="cuda")
    jobs = {one.method: one for one in found}
    trained = jobs[method].trained
    of_all = model.body + (0 if method == "full_ft" else trained)
    assert 100 * trained / of_all == pytest.approx(per_cent, abs=0.005)
    assert jobs[method].steps == 5000
