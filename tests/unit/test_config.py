"""Parameters: what is wrong is refused before any job starts, with the field, its value and what would be right."""

import re
from pathlib import Path

import pytest
import yaml
from small_suite import SUITE, load

from frod import config
from frod.audit.study import Study
from frod.cli.show import show
from frod.config.command_line import near, of_folder, snakemake
from frod.config.schema import StrictModel

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"trainning": {}}, "params.yaml: trainning: unknown key; did you mean 'training'?"),
        ({"training": {"epoch": 3}}, "params.yaml: training.epoch: unknown key; did you mean 'epochs'?"),
        ({"training": {"epochs": "many"}}, "training.epochs: .*, is 'many'"),
        ({"training": {"epochs": True}}, "params.yaml: training.epochs: Input should be a valid number, is True"),
        ({"training": {"epochs": "3"}}, "params.yaml: training.epochs: Input should be a valid number, is '3'"),
        ({"training": {"batch_size": 32.0}}, "training.batch_size: Input should be a valid integer, is 32.0"),
        ({"training": {"group_by_length": 1}}, "training.group_by_length: Input should be a valid boolean, is 1"),
        ({"resources": {"threads": True}}, "resources.threads: Input should be a valid integer, is True"),
        ({"suite": 5}, "params.yaml: suite: Input should be a valid string, is 5; put it in quotes"),
        ({"suite": ""}, "params.yaml: suite: is ''; give the name of a file in workflow/suites"),
        ({"suite": "../suites/small"}, "params.yaml: suite: is '../suites/small'; give the name of a file"),
        ({"suite": "SMALL"}, "suite"),
        ({"training": {"batch_size": 32, "accumulation": 5}}, "training: batch_size 32 is not a multiple"),
        ({"suite": "smal"}, "did you mean 'small'"),
        ({"basis": None}, "params.yaml: basis"),
        ({"cluster": 3}, "params.yaml: cluster"),
        ({"paths": {"reports": "reports/published"}}, "params.yaml: paths.reports: is 'reports/published'; pub"),
        ({"paths": {"results": "published"}}, "paths.results: is 'published'; published holds the reports"),
    ],
)
def test_a_wrong_parameter_is_named(tmp_path, params, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, params)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (
            {"reports": "results"},
            "paths.reports: is 'results', paths.results 'results': neither may be or hold the other",
        ),
        ({"results": "out", "reports": "out/pages"}, "paths.reports: is 'out/pages', paths.results 'out'"),
        ({"data": "a/../reports"}, "paths.reports: is 'reports', paths.data 'a/../reports'"),
        ({"data": "Results"}, "paths.results: is 'results', paths.data 'Results'"),
        ({"own": "data/models"}, "paths.own: is 'data/models', paths.data 'data'"),
        ({"results": "linked/results", "data": "real"}, "paths.results: is 'linked/results', paths.data 'real'"),
        ({"data": "frod"}, "paths.data: is 'frod', and frod is the project's own"),
        ({"data": "workflow/suites"}, "paths.data: is 'workflow/suites', and workflow is the project's own"),
        ({"results": ".git/x"}, "paths.results: is '.git/x', and .git is the project's own"),
        ({"results": ".snakemake"}, "paths.results: is '.snakemake', and .snakemake is the project's own"),
        ({"results": "."}, "paths.results: is '.', which holds the project itself"),
        ({"results": ".."}, "paths.results: is '..', which holds the project itself"),
        ({"results": "a/.."}, "paths.results: is 'a/..', which holds the project itself"),
        ({"results": "/"}, "paths.results: is '/', which holds the project itself"),
        ({"results": "{home}"}, "paths.results: is '.*', your home"),
        ({"results": "file"}, "paths.results: is 'file', and is a file"),
    ],
)
def test_folders_are_apart_from_each_other_and_from_the_project(tmp_path, monkeypatch, paths, message):
    home, project = tmp_path / "home", tmp_path / "project"
    (home / "of").mkdir(parents=True)
    (project / "real").mkdir(parents=True)
    (project / "file").touch()
    (project / "linked").symlink_to("real")
    monkeypatch.setenv("HOME", str(home))
    paths = {name: folder.format(home=home) for name, folder in paths.items()}
    with pytest.raises(ValueError, match=rf"^params\.yaml: {message}.*choose another folder$"):
        load(project, {"paths": paths})


@pytest.mark.parametrize(
    "paths", [{}, {"data": "/scratch/a", "results": "/scratch/b"}, {"results": "out/a", "reports": "out/b"}]
)
def test_folders_that_are_apart_are_taken(tmp_path, paths):
    assert load(tmp_path, {"paths": paths}).runs


def test_a_fault_is_said_of_what_gave_the_value(tmp_path):
    (tmp_path / "workflow" / "suites").mkdir(parents=True)
    given = {
        "--config": {"training": {"epochs": 0}},
        "mine.yaml": {"suite": "nothing", "training": {"epochs": 1, "clip": -1}},
    }
    with pytest.raises(ValueError) as error:
        config.load({"training": {"epochs": 0, "clip": -1, "warmup": 2}}, tmp_path, given)
    lines = [line.split(":")[:2] for line in str(error.value).splitlines()]
    named = {field.strip(): source for source, field in lines}
    assert named == {
        "training.epochs": "--config", "training.clip": "mine.yaml", "training.warmup": "params.yaml"
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"^mine\.yaml: suite: there is no"):
        config.load({"suite": "nothing"}, tmp_path, {"mine.yaml": {"suite": "nothing"}})
    with pytest.raises(ValueError, match=r"^--config: paths\.results: is"):
        config.load({"paths": {"results": "frod"}}, tmp_path, {"--config": {"paths": {"results": "frod"}}})


@pytest.mark.parametrize(
    ("params", "target", "expected"),
    [
        ({}, "", "snakemake"),
        ({"suite": "small"}, "report", "snakemake report --config suite=small"),
        ({"suite": "small", "protocol": "released"}, "", "snakemake --config suite=small protocol=released"),
    ],
)
def test_a_command_line_says_what_params_yaml_does_not(tmp_path, monkeypatch, params, target, expected):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("split: {seed: 3}\n")
    assert snakemake(config.Params(**params), target) == expected
    Path("params.yaml").write_text("suite: small\n")
    assert snakemake(config.Params(suite="small"), target) == f"snakemake {target}".strip()
    assert of_folder(Path("reports/small"), "report") == "snakemake report"
    assert of_folder(Path("results/other/released")) == "snakemake --config suite=other protocol=released"


def test_the_other_folder_of_a_suite_is_what_may_be_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("reports/small/report.json", "reports/small/released/report.json", "results/small/summary.parquet"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    assert near(Path("results/small"), "report.json") == "; did you mean reports/small?"
    assert near(Path("results/small/released"), "report.json") == "; did you mean reports/small/released?"
    assert near(Path("results/other"), "report.json") == near(Path("results"), "report.json") == ""
    with pytest.raises(ValueError, match=r"report\.json is not there: .* is no report; did you mean reports/small"):
        Study.open(Path("results/small"))
    with pytest.raises(ValueError, match=r"reports/small/summary\.parquet: is not there; did you mean results/small"):
        show(Path("reports/small"))
    with pytest.raises(ValueError, match=r"reports/small/report\.json: is no table of all runs; give results/SUITE/"):
        show(Path("reports/small/report.json"))


def test_params_yaml_states_every_default(tmp_path):
    """params.yaml is the documentation of the defaults: it must have each of them, with the value in the code."""
    written = config.Params.model_validate(yaml.safe_load((ROOT / "params.yaml").read_text()))
    assert written == config.Params()
    assert re.findall(r"^  (\w+):", (ROOT / "params.yaml").read_text(), re.M) == [
        name
        for field in config.Params.model_fields.values()
        if isinstance(field.default, StrictModel)
        for name in type(field.default).model_fields
    ]


@pytest.mark.parametrize("name", ["published", "workflow/suites/published.yaml", "elsewhere/published.yaml"])
def test_no_suite_takes_the_folder_of_the_published_reports(tmp_path, name):
    for folder in ("workflow/suites", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "published.yaml").write_text(yaml.safe_dump(SUITE))
    with pytest.raises(ValueError, match=r"^params\.yaml: suite: published is the folder of the reports"):
        load(tmp_path, {"suite": name})
    including = {key: value for key, value in SUITE.items() if key != "experiments"} | {"include": ["published"]}
    with pytest.raises(ValueError, match=r"small\.yaml: include: published is the folder"):
        load(tmp_path, suite=including)
