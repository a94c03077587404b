"""The pages in a real browser: they render, sort, filter, ask for nothing, and fit a phone and a sheet of paper."""

import base64
import json
import re
import sys
from pathlib import Path

import browsers
import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit" / "reporting"))
import synthetic

from frod.reporting import page

RUNS = "runs/digits/digit_vit/frod.html"
pytestmark = [browsers.needed, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    results = synthetic.results()
    root = tmp_path_factory.mktemp("suite")
    for key in results.records:
        record = root / "results" / "smoke" / key.path / "record.json"
        record.parent.mkdir(parents=True)
        record.write_text("{}")
    out = root / "reports" / "smoke"
    page.write(page.contents(results), out)
    return (out / "index.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    with browsers.browser() as driver:
        yield driver


def opened(browser, address, width):
    """Open the page at a width in CSS pixels; a phone's where it is narrow."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(address)
    return browser


@pytest.fixture(scope="module")
def pages(address):
    """The page of results and one of a method's runs, with their headings."""
    return {
        address: "FRoD against full fine-tuning: the smoke suite",
        address.replace("index.html", RUNS): "FRoD on digits with digit_vit",
    }


def test_renders_without_errors_requests_or_violations(browser, pages):
    for address, heading in pages.items():
        for log in ("browser", "performance"):
            browser.get_log(log)
        opened(browser, address, 1200)
        assert browser.find_element("tag name", "h1").text == heading
        assert browser.get_log("browser") == [], "errors and violations of the policy would stand here"
        events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        assert [url for url in asked if not url.startswith("data:")] == [address]


def test_the_policy_lets_no_other_script_or_style_in(browser, address):
    """What a name from data might smuggle past the escaping would not run."""
    browser.get_log("browser")
    opened(browser, address, 1200)
    ran = browser.execute_script(
        """const script = document.createElement("script"), link = document.createElement("a");
        script.textContent = "document.title = 'mine'";
        document.body.append(script, link);
        link.setAttribute("onclick", "document.title = 'mine'");
        link.click();
        return document.title"""
    )
    assert ran != "mine"
    said = [entry["message"] for entry in browser.get_log("browser")]
    assert len(said) == 2 and all("Content Security Policy" in message for message in said)


def test_links_lead_to_files_and_sections(browser, pages):
    records = set()
    for address in pages:
        opened(browser, address, 1200)
        links = browser.execute_script("return [...document.links].map(link => link.href)")
        for link in set(links):
            path, _, section = link.partition("#")
            assert Path(path.removeprefix("file://")).is_file(), link
            assert not section or f'id="{section}"' in Path(path.removeprefix("file://")).read_text(), link
        records |= {link for link in links if "/runs/" in link and "#seed-" in link and link.startswith(address[:-10])}
    assert len(records) >= 39


def test_a_number_leads_to_the_run_s_place(browser, address):
    opened(browser, address, 1200)
    row = browser.find_element("css selector", "#runs tbody tr:nth-child(5)")
    cells = [cell.text for cell in row.find_elements("css selector", "th, td")]
    row.find_element("css selector", "td.n a").click()
    assert browser.current_url.endswith(f"{RUNS}#seed-2") and cells[:3] == ["digits on digit_vit", "FRoD", "2"]
    place = browser.find_element("id", "seed-2").text
    assert cells[8] in place
    assert any(abs(100 * float(value) - float(cells[4])) < 0.006 for value in re.findall(r"0\.\d+", place))


def column(browser, table, index):
    """Texts of a column of the rows that are shown."""
    return browser.execute_script(
        """return [...document.querySelectorAll(arguments[0] + " tbody tr")].filter(row => !row.hidden)
            .map(row => row.cells[arguments[1]].textContent)""",
        table,
        index,
    )


def head(browser, table, index):
    return browser.find_element("css selector", f"{table} thead th:nth-child({index + 1})")


def test_tables_sort_by_number_up_and_down(browser, address):
    opened(browser, address, 1200)
    before = column(browser, "#runs", 4)
    header = head(browser, "#runs", 4)
    assert header.get_attribute("aria-sort") is None
    for state, falling in (("ascending", False), ("descending", True)):
        header.find_element("tag name", "button").click()
        after = column(browser, "#runs", 4)
        assert header.get_attribute("aria-sort") == state
        assert after[-1] == "constant", "last in either direction"
        numbers = [float(text) for text in after[:-1]]
        assert numbers == sorted(numbers, reverse=falling)
        assert sorted(after) == sorted(before)
    head(browser, "#runs", 0).find_element("tag name", "button").click()
    assert column(browser, "#runs", 0) == sorted(column(browser, "#runs", 0))
    assert header.get_attribute("aria-sort") is None


def test_sizes_and_times_sort_by_what_they_are_worth(browser, address):
    """9.94 s is less than 10.8 s, as text it would be more."""
    opened(browser, address, 1200)
    head(browser, "#runs", 6).find_element("tag name", "button").click()
    seconds = [float(text.split("\u00a0")[0]) for text in column(browser, "#runs", 6)]
    assert seconds == sorted(seconds) and seconds[0] < 10 < seconds[-1]


def test_a_table_sorts_by_the_keyboard(browser, address):
    from selenium.webdriver.common.keys import Keys

    opened(browser, address, 1200)
    button = head(browser, "#cost", 2).find_element("tag name", "button")
    browser.execute_script("arguments[0].focus()", button)
    button.send_keys(Keys.ENTER)
    assert head(browser, "#cost", 2).get_attribute("aria-sort") == "ascending"
    assert browser.switch_to.active_element == button


def test_rows_are_filtered_by_text_task_and_method(browser, address):
    from selenium.webdriver.support.select import Select

    opened(browser, address, 1200)
    controls = browser.find_element("css selector", "#runs .controls")
    field = controls.find_element("tag name", "input")
    task, method = (Select(select) for select in controls.find_elements("tag name", "select"))
    assert [option.text for option in task.options][:2] == ["Every task", "digits on digit_vit"]
    field.send_keys("LORA minilm")
    assert set(column(browser, "#runs", 1)) == {"LoRA"} and len(column(browser, "#runs", 1)) == 5
    assert controls.find_element("tag name", "output").text == "5 of 39 rows"
    field.clear()
    field.send_keys(" ")
    method.select_by_visible_text("FRoD")
    task.select_by_visible_text("cola on minilm")
    assert column(browser, "#runs", 0) == ["cola on minilm"] * 3 and set(column(browser, "#runs", 1)) == {"FRoD"}
    method.select_by_index(0)
    task.select_by_index(0)
    assert len(column(browser, "#runs", 0)) == 39
    assert not browser.find_elements("css selector", "#comparison article .controls"), "short tables need none"


def test_without_script_all_is_there_to_be_read(browser, pages):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        for address in pages:
            opened(browser, address, 1200)
            assert not browser.find_elements("css selector", "button, input, select")
            for fold in browser.find_elements("css selector", "summary"):
                fold.click()
            assert all(table.is_displayed() for table in browser.find_elements("css selector", "table"))
            assert not browser.find_elements("css selector", "tr[hidden]")
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("width", [320, 360, 768, 1200])
def test_nothing_is_wider_than_the_screen(browser, pages, width):
    for address in pages:
        opened(browser, address, width)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        # Boxes that scroll within themselves may hold wider tables; nothing else may stick out.
        outside = browser.execute_script(
            """return [...document.querySelectorAll("body *")]
                .filter(e => !e.closest(".scroll") && e.getBoundingClientRect().right > innerWidth + 1)
                .map(e => e.tagName + "." + e.className)"""
        )
        assert outside == []


def test_the_first_screen_holds_the_picture_and_every_verdict(browser, address):
    opened(browser, address, 1280)
    lowest = browser.execute_script(
        "return [...document.querySelectorAll('.outcome svg, .outcome summary .verdict')]"
        ".map(e => e.getBoundingClientRect().bottom)"
    )
    assert len(lowest) == 1 + len(synthetic.results().claims["claims"]) and max(lowest) < 900
    colours = browser.execute_script(
        "return [...document.querySelectorAll('summary .verdict')].map(e => getComputedStyle(e).color)"
    )
    assert len(set(colours)) == 4, "one for each verdict"


def test_text_in_figures_is_legible_on_a_phone(browser, address):
    opened(browser, address, 320)
    smallest = browser.execute_script(
        """return Math.min(...[...document.querySelectorAll("figure svg text")]
            .map(t => parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a))"""
    )
    assert smallest >= 8.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_light_and_dark(browser, pages, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    for address, least in zip(pages, (800, 150)):
        opened(browser, address, 1200)
        ratios = browser.execute_script(
            """
            const light = c => c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
                .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
                .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
            const ground = light(getComputedStyle(document.body).backgroundColor);
            const text = "p, li, dt, dd, td, th, a, summary, button, output, .verdict, .where, svg text";
            return [...document.querySelectorAll(text)].map(e => {
                const style = getComputedStyle(e), ink = light(e.closest("svg") ? style.fill : style.color);
                return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
            })"""
        )
        assert len(ratios) > least
        assert min(ratios) >= 4.5


def test_nothing_is_cut_in_print(browser, pages):
    """On A4 with the page's margins there are 186 mm, 703 CSS pixels, and no scrolling."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    for address in pages:
        opened(browser, address, 703)
        widths = browser.execute_script(
            "return [...document.querySelectorAll('table, svg')].map(t => t.getBoundingClientRect().right)"
        )
        shown = browser.execute_script(
            """return [...document.querySelectorAll("nav, .controls")].filter(e => e.checkVisibility()).length"""
        )
        pdf = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"]
        assert max(widths) <= 704 and shown == 0
        assert base64.b64decode(pdf).startswith(b"%PDF")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
