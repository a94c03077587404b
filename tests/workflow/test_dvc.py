"""DVC and Snakemake together never record a result under parameters or code it was not made with.

Each test begins with a checkout in which a small project (`small_project`) is made and committed. A wrong result can be
told by its content: every job writes what it was made from.
"""

import shutil

import pytest
from small_project import SmallProject

TRAIN = [f"results/smoke/digits/vit/frod/seed-{seed}/adapter.bin" for seed in (0, 1)]
AFTER_TRAIN = ["reports/smoke/index.html"]  # the summary is made by `cat`, which keeps no log
EVERYTHING = ["data/bases/vit", "data/models/vit", "data/tasks/digits/vit"]
ALL = ("data", "bases", "runs", "report")

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """Made by `dvc repro`, committed, pushed to a folder as DVC remote."""
    top = tmp_path_factory.mktemp("dvc")
    project = SmallProject.create(top / "origin")
    project.run("dvc", "remote", "add", "-d", "store", top / "store")
    made = project.made("dvc", "repro")
    assert made == sorted(EVERYTHING + TRAIN + AFTER_TRAIN)
    project.commit("results")
    project.run("dvc", "push")
    return project


@pytest.fixture
def here(origin, tmp_path):
    """The checkout in which all was made, with Snakemake's records."""
    shutil.copytree(origin.folder, tmp_path / "here", symlinks=True)
    return SmallProject(tmp_path / "here")


@pytest.fixture
def clone(origin, tmp_path):
    """A fresh clone with all of DVC's files, in which Snakemake has never run."""
    project = origin.clone(tmp_path / "clone")
    project.run("dvc", "pull")
    return project


def test_clone_and_pull_leave_nothing_to_do_and_an_edit_reruns_what_it_must(clone):
    assert clone.nothing_to_do(*ALL)
    assert "up to date" in clone.run("dvc", "status")
    assert clone.run("git", "status", "--porcelain") == ""
    # Fault 1: pull, then edit a parameter, then reproduce.
    clone.set_params(lr=2)
    assert clone.made("dvc", "repro") == sorted(TRAIN + AFTER_TRAIN)
    assert clone.lr_of(seed=0) == clone.lr_of(seed=1) == 2


def test_an_edit_before_the_first_look_is_not_hidden_by_the_common_time(clone):
    clone.edit("docs/note.txt", "one", "another")
    assert clone.made("snakemake") == AFTER_TRAIN
    shutil.rmtree(clone.folder / ".snakemake")
    clone.set_params(lr=2)
    clone.edit("frod/basis_algorithm.py", "VERSION = 1", "VERSION = 2")
    assert clone.made("snakemake") == sorted(["data/bases/vit", *TRAIN, *AFTER_TRAIN])
    assert clone.lr_of() == 2 and clone.version_of("data/bases/vit/manifest.json") == 2


def test_experiments_in_a_temporary_folder_and_back(here):
    # Fault 2: the temporary folder has no records of Snakemake's.
    here.run("dvc", "exp", "run", "--temp", "--name", "faster", "-S", "training.lr=3")
    assert here.lr_of() == 1 and here.nothing_to_do(*ALL)
    here.run("dvc", "exp", "apply", "faster")
    assert here.lr_of(seed=0) == here.lr_of(seed=1) == 3
    assert here.nothing_to_do(*ALL)
    here.run("git", "checkout", "--", ".")
    here.run("dvc", "checkout", "--force")
    assert here.lr_of() == 1
    assert here.nothing_to_do(*ALL)


def test_edited_code_reruns_and_an_edited_comment_does_not(here):
    # Fault 3: a source among DVC's dependencies that Snakemake's rules do not name.
    here.edit("frod/train_algorithm.py", "VERSION = 1", "VERSION = 2")
    assert here.made("dvc", "repro") == sorted(TRAIN + AFTER_TRAIN)
    assert all(here.version_of(path) == 2 for path in TRAIN)
    here.edit("frod/train_algorithm.py", "of the algorithm", "of this algorithm")
    assert here.nothing_to_do(*ALL)


def test_settings_on_the_command_line_are_not_committed(here):
    # Fault 4: outputs made with settings that params.yaml does not have.
    (here.folder / "faster.yaml").write_text("training: {lr: 4}\n")
    said = here.run("snakemake", "--configfile", "params.yaml", "faster.yaml")
    assert here.lr_of() == 4 and "make dvc-commit" in said
    said = here.run("python", "-m", "frod.pipeline.commit", fails=True)
    assert "not committed" in said and "train  " in said
    # Even if forced past the guard, the mistake is seen wherever the files go.
    here.run("dvc", "commit", "--force")
    assert not here.nothing_to_do("report")
    assert here.made("snakemake") == sorted(TRAIN + AFTER_TRAIN)
    assert here.lr_of() == 1


def test_what_plain_snakemake_made_is_committed_and_travels(here, tmp_path):
    here.set_params(lr=5)
    assert here.made("snakemake") == sorted(TRAIN + AFTER_TRAIN)
    here.run("python", "-m", "frod.pipeline.commit")
    assert "up to date" in here.run("dvc", "status")
    assert here.made("dvc", "repro") == []
    here.commit("five")
    here.run("dvc", "push", "--remote", "store")
    # There and back between the two commits.
    for commit, lr in (("HEAD~1", 1), ("main", 5)):
        here.run("git", "checkout", "-q", commit)
        here.run("dvc", "checkout")
        assert here.lr_of() == lr and here.nothing_to_do(*ALL)


def test_a_partial_pull_is_not_taken_for_results(origin, tmp_path):
    project = origin.clone(tmp_path / "clone")
    project.run("dvc", "pull", "results/smoke", "data/models", "data/tasks", "data/bases")  # without the records
    said = project.run("snakemake", "-n", "runs")
    assert "Nothing to be done" not in said and "origin is unknown" in said
    project.run("dvc", "pull")  # the rest
    assert project.nothing_to_do(*ALL)


def test_touch_is_refused(here):
    said = here.run("snakemake", "--touch", fails=True)
    assert "--touch" in said and here.nothing_to_do(*ALL)
