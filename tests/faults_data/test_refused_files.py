"""What the system refuses to open ends in one line that names the file, though no line of ours raised it."""

import pytest

from frod.cli import main


@pytest.mark.parametrize(
    ("command", "option", "status"),
    [("show", None, 1), ("tune", "--trial", 2)],  # 2: the option itself asks for a file
)
def test_a_folder_in_place_of_a_file_is_one_line(tmp_path, monkeypatch, capsys, command, option, status):
    (tmp_path / "folder.parquet").mkdir()
    more = ["--out", str(tmp_path / "out.json")] if option else []
    monkeypatch.setattr("sys.argv", ["frod", command, *filter(None, [option]), str(tmp_path / "folder.parquet"), *more])
    monkeypatch.setattr("frod.pipeline.workflows.end_with_workflow", lambda: None)
    with pytest.raises(SystemExit) as ended:
        main.main()
    said = capsys.readouterr().err
    assert ended.value.code == status
    assert said.count("\n") == 1 and said.startswith("error: ") and "folder.parquet" in said
