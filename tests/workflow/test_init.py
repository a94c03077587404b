"""The suite that `frod init` writes runs as it is, on the sample that comes with it, to a report without findings."""

from alterations import audited


def test_the_sample_runs_to_its_report(finished):
    said = finished.run("frod", "init", "shapes", "--images").stdout
    command = said.strip().rpartition("then: ")[2]
    finished.commit("a suite of our own")
    finished.run(*command.split())
    assert finished.path("reports/shapes/index.html").is_file()
    assert audited(finished.folder, "reports/shapes") == []
    image = next(finished.path("mine/shapes/one").iterdir())
    image.write_bytes(image.read_bytes() + b"0")
    assert any(line.startswith("mine/shapes: images of all") for line in audited(finished.folder, "reports/shapes"))
