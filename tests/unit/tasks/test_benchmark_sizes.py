"""The benchmarks are the ones the paper's code runs: sizes and classes of their published cards, written by hand.

A size in the registry decides whether a data set is accepted, so that a slip there would refuse the right one.
"""

import pytest

from frod.evaluation.generated import read_out
from frod.tasks import registry

# train, test (GLUE and five commonsense tasks: the Hub's validation split), outputs of the head.
SIZES = {
    "stanford_cars": (8144, 8041, 196),
    "dtd": (3760, 1880, 47),
    "eurosat": (21600, 2700, 10),
    "gtsrb": (26640, 12630, 43),
    "mnist": (60000, 10000, 10),
    "resisc45": (18900, 6300, 45),
    "sun397": (19850, 19850, 397),
    "svhn": (73257, 26032, 10),
    "cola": (8551, 1043, 2),
    "sst2": (67349, 872, 2),
    "mrpc": (3668, 408, 2),
    "qqp": (363846, 40430, 2),
    "stsb": (5749, 1500, 1),
    "mnli": (392702, 9815, 3),
    "qnli": (104743, 5463, 2),
    "rte": (2490, 277, 2),
    "boolq": (9427, 3270, 2),
    "piqa": (16113, 1838, 2),
    "siqa": (33410, 1954, 3),
    "hellaswag": (39905, 10042, 4),
    "winogrande": (10234, 1267, 2),
    "arc_easy": (2251, 2376, 5),
    "arc_challenge": (1119, 1172, 5),
    "openbookqa": (4957, 500, 4),
    "metamath_gsm8k": (395000, 1319, 1),  # of MetaMathQA, and of GSM8K
}
# What RandLoRA (arXiv 2502.00987, table 7) holds out of the training data; EuroSAT's comes from elsewhere there.
HELD_OUT = {
    "stanford_cars": 814,
    "dtd": 376,
    "gtsrb": 2664,
    "mnist": 5000,
    "resisc45": 1890,
    "sun397": 1985,
    "svhn": 5000,
}
TASKS = registry.load()
TEXTS = [name for name in SIZES if TASKS[name].kind != "images"]
CHOICES = [name for name in SIZES if TASKS[name].kind == "choices"]


def test_all_25_are_there():
    assert len(SIZES) == 25
    hub = {name for name, task in TASKS.items() if isinstance(task.source, registry.Hub)}
    assert hub == set(SIZES) | {f"{name}_likelihood" for name in CHOICES}


@pytest.mark.parametrize("name", [*CHOICES, "sums"])
def test_a_choice_by_likelihood_is_the_same_but_for_how_it_is_made(name):
    """Its prompt leaves the answers out, which are scored one by one."""
    differing = {"title", "scoring", "prompt", "metrics"}
    one, other = TASKS[name], TASKS[f"{name}_likelihood"]
    assert one.model_dump(exclude=differing) == other.model_dump(exclude=differing)
    assert (other.scoring, other.metrics) == ("likelihood", ["accuracy", "accuracy_norm"])
    assert "{choices}" not in (other.prompt or "")


@pytest.mark.parametrize("name", SIZES)
def test_sizes_and_classes(name):
    task = TASKS[name]
    train, test = task.rows[task.train.from_].rows, task.rows[task.test.from_].rows
    assert (train, test, task.num_classes) == SIZES[name]


def test_mnli_is_reported_on_both_its_splits():
    (name, part), *more = TASKS["mnli"].more_tests.items()
    assert (name, TASKS["mnli"].rows[part.from_].rows, more) == ("mismatched", 9832, [])


@pytest.mark.parametrize("name", HELD_OUT)
def test_images_hold_out_what_the_literature_does(name):
    assert TASKS[name].validation.rows == HELD_OUT[name]


@pytest.mark.parametrize("name", [n for n in TEXTS if not TASKS[n].released and TASKS[n].kind != "generation"])
def test_texts_hold_out_a_tenth_or_what_test_has(name):
    task = TASKS[name]
    train, test, _ = SIZES[name]
    assert (task.validation.from_, task.validation.rows) == ("train", min(train // 10, test))


@pytest.mark.parametrize(
    ("name", "rows"), [("arc_easy", (570, 2376)), ("arc_challenge", (299, 1172)), ("openbookqa", (500, 500))]
)
def test_where_test_is_labelled_the_authors_evaluate_on_validation(name, rows):
    task = TASKS[name]
    assert (task.rows[task.released].rows, task.rows[task.test.from_].rows) == rows
    assert (task.released, task.validation.from_, task.test.from_) == ("validation", "validation", "test")


@pytest.mark.parametrize("name", CHOICES)
def test_a_prompt_shows_everything_and_ends_where_the_answer_stands(name):
    """A causal model's classifier reads the last token, which must have seen the question and all answers."""
    task = TASKS[name]
    assert all("{" + column + "}" in task.prompt for column in task.columns.text)
    assert task.prompt.endswith("{choices}\nAnswer:")
    assert task.class_names == list("ABCDE")[: task.num_classes]


def test_metrics_are_the_benchmarks_own():
    special = {
        "cola": ["matthews_correlation", "accuracy"],
        "mrpc": ["accuracy", "f1"],
        "qqp": ["accuracy", "f1"],
        "stsb": ["pearson", "spearman"],
        "metamath_gsm8k": ["exact_match"],
    }
    assert all(TASKS[name].metrics == special.get(name, ["accuracy"]) for name in SIZES)
    assert TASKS["stsb"].range == (0, 5)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Natalia sold 48/2 = <<48/2=24>>24 clips.\n#### 72", "72"),
        ("#### 1,080", "1,080"),
        ("#### -3.5", "-3.5"),
        ("So it is $20.\nThe answer is: $1,234.50.", "1,234.50"),
        ("The answer is 5.", "5"),
        ("The answer is: \\frac{1}{2}", ""),
    ],
)
def test_answers_of_gsm8k_and_metamathqa_are_read(text, answer):
    """As their authors write them: GSM8K after ####, MetaMathQA in a last sentence."""
    assert read_out(text, TASKS["metamath_gsm8k"].read) == answer
