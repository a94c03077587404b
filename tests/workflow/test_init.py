"""The suite that `frod init` writes runs as it is, on the sample that comes with it, to a report without findings."""


def test_the_sample_runs_to_its_report(finished):
    said = finished.run("frod", "init", "shapes", "--images").stdout
    command = said.strip().rpartition("then: ")[2]
    finished.git("add", "--all")
    finished.git("commit", "--quiet", "--message", "a suite of our own")
    finished.run(*command.split())
    assert finished.path("reports/shapes/index.html").is_file()
    assert "no findings" in finished.run("frod", "audit", "reports/shapes").stdout
    image = next(finished.path("mine/shapes/one").iterdir())
    image.write_bytes(image.read_bytes() + b"0")
    altered = finished.run("frod", "audit", "reports/shapes", check=False)
    assert altered.returncode == 1 and "mine/shapes: images of all" in altered.stdout
