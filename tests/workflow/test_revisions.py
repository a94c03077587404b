"""Two revisions of a project compared as a user does it: commit, change a rate, run, commit; then frod compare and dvc.

`dvc plots diff` is looked at in a browser: the picture has a panel for each method and a colour for each revision.
"""

import json
import re
import time
from pathlib import Path

import browsers
import pytest

pytestmark = pytest.mark.timeout(1800)  # the first test waits for two runs of the workflow
BEFORE, AFTER = "HEAD~1:reports/published/tiny", "HEAD:reports/published/tiny"
OLD, NEW = "full_ft: [{ lr: 1.0e-3, lr_head: 1.0e-3 }", "full_ft: [{ lr: 3.0e-3, lr_head: 1.0e-3 }"


@pytest.fixture(scope="module")
def changed(finished):
    """The finished project, committed under two learning rates of full fine-tuning."""
    commit(finished, "first")
    finished.edit("workflow/suites/tiny.yaml", OLD, NEW)
    finished.snakemake()
    commit(finished, "second")
    return finished


def commit(project, message):
    """DVC records what was made, the report is published, git has both."""
    project.run("python", "-m", "frod.pipeline.commit")
    project.run("make", "publish", "SUITE=tiny")
    project.commit(message)


def metric(project, revision):
    """Full fine-tuning's accuracy, and FRoD's, as a revision has them."""
    content = json.loads(project.git("show", f"{revision}:reports/published/tiny/metrics.json"))
    return [content[f"digits/digit_vit/{method}/test_accuracy"] for method in ("full_ft", "frod")]


def test_compare_shows_what_changed_and_only_that(changed, tmp_path):
    before, after = metric(changed, "HEAD~1"), metric(changed, "HEAD")
    assert before[0] != after[0] and before[1] == after[1]
    out = tmp_path / "compared.json"
    status, said = changed.frod("compare", BEFORE, "reports/tiny", "--json", out, "--exit-code")
    assert status == 1, said
    found = json.loads(out.read_text())
    by_method = {row["method"]: row for row in found["rows"]}
    assert by_method["full_ft"]["difference"] == pytest.approx(after[0] - before[0], abs=1e-6)
    assert [row["same"] for row in by_method.values()] == [method != "full_ft" for method in by_method]
    assert {row["how"] for row in found["rows"]} == {"paired"}
    # Files that differ are told from those that do not, and the first of them is named.
    assert found["files"]["runs"] == 3 and found["files"]["excuse"] is None
    assert found["files"]["differing"] == ["digits/digit_vit/full_ft/seed-0 (adapter, predictions)"]
    rate = {one["name"]: (one["a"], one["b"]) for one in found["settings"] if one["group"] == "suite file"}
    assert rate == {"experiments.0.grid.full_ft.0.lr": ("0.001", "0.003")}
    assert f"{100 * before[0]:.1f}" in said and f"{100 * after[0]:.1f}" in said


def test_a_revision_against_itself_does_not_differ(changed):
    status, said = changed.frod("compare", AFTER, "reports/tiny", "--exit-code")
    assert status == 0 and "Nothing differs." in said and "the same sha256 in all 3 runs" in said
    status, said = changed.frod("compare", "HEAD:reports/none", "reports/tiny")
    assert status == 1 and "it has reports/published/tiny" in said and "Traceback" not in said


def test_dvc_metrics_diff_has_the_change(changed):
    before, after = metric(changed, "HEAD~1"), metric(changed, "HEAD")
    found = json.loads(changed.run("dvc", "metrics", "diff", "--json", "HEAD~1", "HEAD").stdout)
    values = found["reports/tiny/metrics.json"]
    assert values["digits/digit_vit/full_ft/test_accuracy"]["old"] == before[0]
    assert values["digits/digit_vit/full_ft/test_accuracy"]["new"] == after[0]
    assert "digits/digit_vit/frod/test_accuracy" not in values


@pytest.fixture(scope="module")
def page(changed, tmp_path_factory):
    """What `dvc plots diff` writes, with Vega from where it lies here instead of from the network."""
    import snakemake

    out = tmp_path_factory.mktemp("plots")
    changed.run("dvc", "plots", "diff", "HEAD~1", "HEAD", "--out", out)
    vega = Path(snakemake.__file__).parent / "assets" / "data"
    html = (out / "index.html").read_text()
    for name in ("vega", "vega-lite", "vega-embed"):
        here = (vega / name / f"{name}.js").as_uri()
        html, times = re.subn(rf'src="https://[^"]*/{name}@[^"]*"', f'src="{here}"', html)
        assert times == 1
    (out / "index.html").write_text(html)
    return out / "index.html"


def test_dvc_plots_diff_has_both_revisions_of_every_run(page):
    spec = json.loads(re.search(r"var spec = (.*);\s*vegaEmbed", page.read_text()).group(1))
    rows = spec["data"]["values"]
    assert {(row["rev"], row["method"]) for row in rows} == {
        (revision, method) for revision in ("HEAD~1", "HEAD") for method in ("frod", "full_ft", "linear_probe")
    }
    assert spec["facet"]["column"]["field"] == "method"


@browsers.needed
def test_the_picture_has_a_panel_for_each_method_and_a_colour_for_each_revision(page):
    with browsers.browser() as browser:
        browser.get(page.as_uri())
        view = "await vegaEmbed(document.createElement('div'), spec, {renderer: 'svg'})"
        script = f"const done = arguments[0]; (async () => {{ const v = {view}; done(await v.view.toSVG()); }})();"
        svg = browser.execute_async_script(script)
        while not browser.find_elements("css selector", "canvas"):  # the page's own drawing
            time.sleep(0.2)
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    texts = re.findall(r"<text[^>]*>([^<]+)</text>", svg)
    for wanted in ("digits on digit_vit", "frod", "full_ft", "linear_probe", "HEAD", "HEAD~1"):
        assert wanted in texts
    # Lines: in each of three panels one seed and the mean, for each of two revisions.
    lines = re.findall(r'aria-roledescription="line mark"[^>]*stroke="([^"]+)"', svg)
    assert len(lines) == 3 * 2 * 2 and len(set(lines)) == 2
