"""Whatever is damaged in a finished project, the command that reads it says so in one line, with file and remedy.

What the commands say is asked in this process; that the remedy works, and that the workflow itself finds outputs that
were altered, is tried with Snakemake on one project.
"""

import contextlib
import shutil

import pytest
from damages import BASIS, DAMAGES, FILES, MODEL, RUN, SUMMARY, TASK, Damaged, commands, remedied, result

from frod.cli import main

OTHER_READERS = [
    Damaged(f"{MODEL}/source.json", "train"),
    Damaged(f"{MODEL}/model.safetensors", "spectrum"),
    Damaged(f"{TASK}/manifest.json", "evaluate"),
    Damaged(f"{BASIS}/basis.safetensors", "spectrum"),
    Damaged(f"{RUN}/record.json", "summarise"),
    Damaged(f"{RUN}/record.json", "spectrum"),
    Damaged(f"{RUN}/record.json", "report"),
    Damaged(SUMMARY, "show"),
]
CASES = [
    pytest.param(damaged, name, id=f"{damaged.command} {damaged.file.rpartition('/')[2]} {name}")
    for place, damaged in enumerate(FILES)
    for name in ("truncated", "one bit", ("emptied", "half-written")[place % 2])
    if damaged.alone or name != "one bit"
] + [
    pytest.param(damaged, "truncated", id=f"{damaged.command} {damaged.file.rpartition('/')[2]}, too")
    for damaged in OTHER_READERS
]


@pytest.fixture(scope="module")
def arguments(finished):
    return commands(finished)


@pytest.fixture
def frod(finished, arguments, monkeypatch, capsys):
    """Run a command in the project, in this process; returns its exit status and what it printed as an error."""

    def run(command):
        monkeypatch.setattr("sys.argv", ["frod", command, *arguments[command]])
        monkeypatch.setenv("FROD_CACHE", str(finished.cache))
        monkeypatch.setenv("FROD_TRACKING", "off")
        monkeypatch.setattr("frod.pipeline.workflows.end_with_workflow", lambda: None)
        capsys.readouterr()
        with contextlib.chdir(finished.folder):
            try:
                main.main()
            except SystemExit as ended:
                return ended.code or 0, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


@pytest.mark.parametrize(("damaged", "name"), CASES)
def test_damage_is_one_line_with_file_and_remedy(finished, frod, damaged, name):
    path = finished.path(damaged.file)
    good = path.read_bytes()
    path.write_bytes(DAMAGES[name](good))
    try:
        status, said = frod(damaged.command)
    finally:
        path.write_bytes(good)
    assert status == 1, said
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert damaged.file in line and "Traceback" not in said
    assert "delete" in line


@pytest.mark.parametrize(
    "file", [f"{MODEL}/model.safetensors", f"{TASK}/train.images.npy", f"{BASIS}/basis.safetensors"]
)
def test_what_is_missing_is_said_too(finished, frod, tmp_path, file):
    shutil.move(finished.path(file), tmp_path / "aside")
    try:
        status, said = frod("train")
    finally:
        shutil.move(tmp_path / "aside", finished.path(file))
    assert status == 1 and file in said and "delete" in said and "Traceback" not in said


def test_an_altered_output_is_found_and_made_anew_by_the_same_command(finished):
    before = result(finished.folder)
    for file in (f"{RUN}/metrics.json", SUMMARY):
        path = finished.path(file)
        path.write_bytes(DAMAGES["one bit"](path.read_bytes()))
    said = finished.snakemake(FROD_TRACKING="off")
    assert "count as out of date" in said and "metrics of digits frod" in said and "training" not in said
    assert result(finished.folder) == before
    assert "Nothing to be done" in finished.snakemake("-n")


def test_an_altered_array_is_refused_and_its_remedy_spares_the_trainings(finished):
    before = result(finished.folder)
    path = finished.path(f"{TASK}/train.images.npy")
    path.write_bytes(DAMAGES["one bit"](path.read_bytes()))
    probe = "results/tiny/digits/digit_vit/linear_probe/seed-0/record.json"
    finished.path(probe).unlink()
    failed = finished.run("snakemake", "--cores", "2", probe, check=False, FROD_TRACKING="off")
    assert failed.returncode != 0
    (line,) = {line.strip() for line in failed.stdout.splitlines() if line.strip().startswith("error: ")}
    assert f"{TASK}/train.images.npy: sha256 is" in line
    assert remedied(finished.folder, line) == TASK
    finished.snakemake(TASK)  # this alone first: what it is made into is as it was
    said = finished.snakemake(probe, FROD_TRACKING="off")
    assert "training digits linear_probe" in said and "training digits frod" not in said
    assert result(finished.folder) == before
    assert "training" not in finished.snakemake("-n")
