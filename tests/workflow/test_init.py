"""The suite that `frod init` writes runs as it is, on the sample that comes with it, to a report without findings."""

import json

from alterations import audited


def test_the_sample_runs_to_its_report(finished):
    said = finished.run("frod", "init", "shapes", "--images").stdout
    command = said.strip().rpartition("then: ")[2]
    finished.commit("a suite of our own")
    for name in ("notes.md", "mine/more.csv", "workflow/suites/next.yaml"):
        finished.path(name).write_text("x: 1\n")  # nothing that a run depends on
    finished.run(*command.split())
    made = [json.loads(path.read_text())["code"] for path in finished.path("results/shapes").rglob("record.json")]
    made.append(json.loads(finished.path("reports/shapes/report.json").read_text())["code"])
    assert len(made) == 7 and {code["git_dirty"] for code in made} == {False}
    assert finished.path("reports/shapes/index.html").is_file()
    assert audited(finished.folder, "reports/shapes") == []
    image = next(finished.path("mine/shapes/one").iterdir())
    image.write_bytes(image.read_bytes() + b"0")
    assert any(line.startswith("mine/shapes: images of all") for line in audited(finished.folder, "reports/shapes"))
