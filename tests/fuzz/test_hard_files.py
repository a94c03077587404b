"""Files that a fuzzer finds late, each by name: refused in one line, quickly, and nothing in them runs."""

import json
import os
import time

import pytest
import yaml

from frod.config import load, safe_yaml
from frod.config.schema import from_json
from frod.pipeline.load import load_workflow
from frod.tasks.registry import TaskSpec

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"title: !!python/object/apply:os.system ['touch run']", "line 1: tag tag:yaml.org,2002:python/object"),
        (b"title: !!python/name:os.system", "tag tag:yaml.org,2002:python/name:os.system is not taken"),
        (b"title: !env HOME", "line 1: tag !env is not taken"),
        (b"seeds: [0]\ntitle: a\nseeds: [1]", "line 3: key 'seeds' stands twice"),
        (LAUGHS.encode(), "holds more than 1000000 values"),
        (b"a: &a [*a]", "is nested more than 40 deep"),
        (b"a: &a {b: *a}", "is nested more than 40 deep"),
        (b"[" * 100_000, "is nested more than 40 deep"),
        (b"title: caf\xe9", "is not text in UTF-8 (unexpected end of data at byte 10)"),
        (b"title: 2024-02-31", "day is out of range"),
        (b"title: 2024-02-01", "title: is datetime.date(2024, 2, 1), a date; put text in quotes"),
        (b"margin: .nan", "margin: is nan, no finite number"),
        (b"margin: " + b"9" * 5000, "integer string conversion"),
        (b"margin: 99999999999999999999", "margin: is too large a number"),
        (b"1: x", "1: the key 1 is no text; put it in quotes"),
        (b"tasks: {" + b"a" * 300 + b": x}", "tasks: the key 'aaaa"),
        (b"true: x", "True: the key True is no text"),
        (b"no: x", "line 1: 'no' means one thing in YAML 1.1, another in 1.2; write true or false"),
        (b"margin: yes", "line 1: 'yes' means one thing in YAML 1.1, another in 1.2; write true or false"),
        (b"margin: 1:30", "line 1: '1:30' means one thing in YAML 1.1, another in 1.2; write digits alone"),
        (b"margin: 1:30.5", "line 1: '1:30.5' means"),
        (b"margin: 010", "line 1: '010' means one thing in YAML 1.1, another in 1.2; write digits alone"),
        (b"margin: 09", "line 1: '09' means"),
        (b"margin: 0o10", "line 1: '0o10' means"),
        (b"margin: 0b10", "line 1: '0b10' means"),
        (b"margin: 1_000", "line 1: '1_000' means one thing in YAML 1.1, another in 1.2; write digits alone"),
        (b"margin: 1e3", "line 1: '1e3' means one thing in YAML 1.1, another in 1.2; write 1000.0"),
        (b"margin: 1e-05", "line 1: '1e-05' means one thing in YAML 1.1, another in 1.2; write 1.0e-05"),
        (b"margin: .inf", "margin: is inf, no finite number"),
        (b"title: \"a\\x1b[2Jb\"", "title: holds U+001B control, which no reader sees"),
        (b"title: \"\\ud800\"", "line 1: found invalid Unicode character escape"),
        (b"- a\n- b", "it should be a mapping of names to values, is a list"),
        (b"title: 'a", "line 1: found unexpected end of stream"),
        (b"a" * 2_000_000, "has 2000000 bytes"),
        (b"title: postgresql://me:opensesame@host/db", "title: holds a token, a password or an address with a user"),
    ],
)  # fmt: skip
def test_a_suite_that_is_no_plain_yaml(tmp_path, monkeypatch, content, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_bytes(content)
    began = time.process_time()
    with pytest.raises(ValueError) as error:
        load({"suite": "own.yaml"}, tmp_path)
    message = str(error.value)
    assert message.startswith(f"{tmp_path}/own.yaml: ") and said in message and "\n" not in message, message
    assert "opensesame" not in message
    assert time.process_time() - began < 60, "a small file takes minutes"
    assert os.listdir(tmp_path) == ["own.yaml"], "something in the file has run"


@pytest.mark.parametrize(
    "word", ["text", "y", "null", "~", "true", "-1", "+2", "0x1F", "1.", ".5", "-1.5e-3", "1.5e+3", "1e"]
)
def test_a_word_that_all_readers_of_yaml_take_alike_is_taken(word):
    assert safe_yaml.from_yaml(f"a: {word}", "file") == yaml.safe_load(f"a: {word}")


def test_a_folder_or_nothing_in_a_files_place(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ValueError, match=r"params\.yaml: suite: there is no .*folder\.yaml"):
        load({"suite": "folder.yaml"}, tmp_path)
    with pytest.raises(ValueError, match=r"folder\.yaml: cannot be read \(Is a directory\)"):
        safe_yaml.read(tmp_path / "folder.yaml")
    with pytest.raises(ValueError, match=r"none\.yaml: cannot be read \(No such file or directory\)"):
        safe_yaml.read(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", ["a" * 400, "x\ny", "../../etc/passwd", "/dev/null", "$(touch x)", ".yaml", "A.yaml"])
def test_a_suites_name_that_is_none(tmp_path, name):
    (tmp_path / "A.yaml").write_text("title: t")
    (tmp_path / ".yaml").write_text("title: t")
    with pytest.raises(ValueError, match=r"^\S+: suite: ") as error:
        load({"suite": name}, tmp_path)
    assert len(str(error.value)) < 2000 and "\n" not in str(error.value)


def test_suites_that_include_each_other(tmp_path):
    folder = tmp_path / "workflow" / "suites"
    folder.mkdir(parents=True)
    for name, other in (("a", "b"), ("b", "a"), ("own", "own")):
        text = f"title: t\ndescription: d\nseeds: [0]\nmethods: {{full_ft: {{}}}}\ninclude: [{other}]\n"
        (folder / f"{name}.yaml").write_text(text)
    for name, other in (("a", "b"), ("own", "own")):
        with pytest.raises(ValueError, match=rf"{name}\.yaml: include: {other} itself includes suites"):
            load({"suite": name}, tmp_path)


def test_more_runs_than_can_be_planned(tmp_path):
    rates = "rates: {full_ft: {lr: 1.0e-3, lr_head: 1.0e-3}}"
    tasks = ", ".join(f"t{i}" for i in range(2000))
    (tmp_path / "many.yaml").write_text(
        f"title: t\ndescription: d\nseeds: {list(range(60))}\nmethods: {{full_ft: {{}}}}\n"
        f"experiments: [{{tasks: [{tasks}], backbone: b, {rates}}}]\n"
    )
    with pytest.raises(ValueError, match="are 120000 runs; at most 100000 are planned"):
        load({"suite": "many.yaml"}, tmp_path)


@pytest.mark.parametrize(
    "folder", ["my data", "a;touch x", "$(touch x)", "{backbone}", "'", "-x", "", "a\nb", "a*", "~"]
)
def test_a_folder_that_a_shell_would_not_take_as_one_word(tmp_path, folder):
    with pytest.raises(ValueError, match=r"params\.yaml: paths\.results: is .* a folder's name here has letters"):
        load({"suite": "x", "paths": {"results": folder}}, tmp_path)


def test_a_name_of_a_folder_that_is_taken(tmp_path):
    for suite in ("title: t\ntasks: {released: {}}", f"title: t\ntasks: {{{'a' * 65}: {{}}}}"):
        (tmp_path / "own.yaml").write_text(
            f"{suite}\ndescription: d\nseeds: [0]\nmethods: {{full_ft: {{}}}}\ninclude: [smoke]\n"
        )
        with pytest.raises(ValueError, match=r"own\.yaml: tasks"):
            load({"suite": "own.yaml"}, tmp_path)


def test_many_faults_are_not_all_listed():
    with pytest.raises(ValueError) as error:
        from_json(TaskSpec, json.dumps({f"key{i}": 0 for i in range(500)}), "--spec")
    lines = str(error.value).split("\n")
    assert len(lines) == 21 and "more errors" in lines[-1]


def test_parameters_that_are_no_mapping(tmp_path):
    with pytest.raises(ValueError, match=r"^params\.yaml: it should be a mapping of names to values, is a list$"):
        load_workflow(["x"], tmp_path)
