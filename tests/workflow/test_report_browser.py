"""The page in a real browser: it renders, asks for nothing but itself, and fits a phone and a sheet of paper."""

import base64
import json
import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit" / "reporting"))
import synthetic

from frod.reporting import dag, page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on PATH"),
    pytest.mark.timeout(180),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    results = synthetic.results()
    root = tmp_path_factory.mktemp("suite")
    for key in results.records:
        record = root / "results" / "smoke" / key.path / "record.json"
        record.parent.mkdir(parents=True)
        record.write_text("{}")
    out = root / "reports" / "smoke"
    page.build(
        results.summary,
        results.histories,
        results.records,
        results.suite,
        out,
        claims=results.claims,
        manifests=results.manifests,
        dag=dag.draw(synthetic.edges()),
    )
    return (out / "index.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def opened(browser, address, width):
    """Open the page at a width in CSS pixels; a phone's where it is narrow."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(address)
    return browser


def test_renders_without_errors_or_requests(browser, address):
    for log in ("browser", "performance"):
        browser.get_log(log)
    opened(browser, address, 1200)
    assert browser.find_element("tag name", "h1").text == "FRoD against full fine-tuning: the smoke suite"
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [address]


def test_links_lead_to_files_and_sections(browser, address):
    opened(browser, address, 1200)
    links = browser.execute_script("return [...document.links].map(link => link.href)")
    records = [link for link in links if link.endswith("record.json")]
    assert len(records) == 39
    for link in links:
        path, _, section = link.partition("#")
        assert Path(path.removeprefix("file://")).is_file(), link
        assert not section or browser.find_elements("id", section), link


@pytest.mark.parametrize("width", [320, 360, 768, 1200])
def test_nothing_is_wider_than_the_screen(browser, address, width):
    opened(browser, address, width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    # Boxes that scroll within themselves may hold wider tables; nothing else may stick out.
    outside = browser.execute_script(
        """return [...document.querySelectorAll("body *")]
            .filter(e => !e.closest(".scroll") && e.getBoundingClientRect().right > innerWidth + 1)
            .map(e => e.tagName + "." + e.className)"""
    )
    assert outside == []


def test_text_in_figures_is_legible_on_a_phone(browser, address):
    opened(browser, address, 320)
    smallest = browser.execute_script(
        """return Math.min(...[...document.querySelectorAll("figure svg text")]
            .map(t => parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a))"""
    )
    assert smallest >= 8.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_light_and_dark(browser, address, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    opened(browser, address, 1200)
    ratios = browser.execute_script(
        """
        const light = c => c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
            .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        const ground = light(getComputedStyle(document.body).backgroundColor);
        return [...document.querySelectorAll("p, td, th, a, svg text")].map(e => {
            const style = getComputedStyle(e), ink = light(e.closest("svg") ? style.fill : style.color);
            return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
        })"""
    )
    assert len(ratios) > 500
    assert min(ratios) >= 4.5


def test_no_table_is_cut_in_print(browser, address):
    """On A4 with the page's margins there are 186 mm, 703 CSS pixels, and no scrolling."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    opened(browser, address, 703)
    widths = browser.execute_script(
        "return [...document.querySelectorAll('table, .dag svg')].map(t => t.getBoundingClientRect().right)"
    )
    pdf = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    assert max(widths) <= 704
    assert base64.b64decode(pdf).startswith(b"%PDF")
