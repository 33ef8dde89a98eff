"""The page in Chromium: it draws without a network, and its switches work."""

import importlib.util
import json
import os
import shutil
import time

import pytest

from spectralbias import report

ALL = (
    *("harmonics", "diverged", "image", "truncated", "signal", "adam", "classes", "explained classes", "corrected"),
    *("regions", "regions of a picture"),
)
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
)


def _find():
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None), shutil.which("chromedriver")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium, driver = _find()
    found = {"Chromium": chromium, "chromedriver": driver, "selenium": importlib.util.find_spec("selenium")}
    if missing := ", ".join(name for name, place in found.items() if place is None):
        if os.environ.get("SPECTRALBIAS_REQUIRE_CHROMIUM") == "1":
            pytest.fail(f"{missing} was not found, and SPECTRALBIAS_REQUIRE_CHROMIUM=1")
        pytest.skip(f"{missing} was not found: the report was not opened in a browser")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


# The driver may come back from a page of 5 MB before its script has run, where the processor is busy.
DRAWN = """
return document.readyState === "complete"
  && [...document.querySelectorAll(".plot")].every((plot) => plot.querySelector(".main-svg"));
"""


def resize(browser, width):
    """The width of the window in CSS pixels."""
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def show(browser, path, width=1200, theme="light"):
    """Open a page at that width and in that theme; drops what was logged before."""
    resize(browser, width)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(path.as_uri())
    settle(browser, DRAWN, 60)


def settle(browser, script, seconds=5.0):
    """Wait until a script returns something true."""
    until = time.monotonic() + seconds
    while not (value := browser.execute_script(script)) and time.monotonic() < until:
        time.sleep(0.02)
    assert value, script
    return value


def complaints(browser):
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def requests(browser):
    """Addresses that were asked for, apart from those that need no network; `chrome:` is the page it starts with."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert any(url.startswith("file:") for url in urls)
    return [url for url in urls if not url.startswith(("file:", "data:", "blob:", "chrome:"))]


OVERFLOWING = """
const wide = document.documentElement.clientWidth;
return [...document.querySelectorAll("body *")]
  .filter((e) => !e.closest(".scroll, pre, svg, details:not([open])") && e.getBoundingClientRect().right > wide + 1)
  .map((e) => e.outerHTML.slice(0, 80));
"""


@pytest.mark.parametrize("name", ALL)
def test_draws_everything_without_a_network(browser, page, name):
    run, _ = page(name)
    show(browser, run.directory / "report.html")
    plots = browser.execute_script("return document.querySelectorAll('.plot').length")
    assert plots >= 5
    assert browser.execute_script("return document.querySelectorAll('.plot:has(.scatterlayer .trace)').length") == plots
    assert complaints(browser) == []
    assert requests(browser) == []


FITS = "return document.documentElement.scrollWidth === document.documentElement.clientWidth"
FOLLOWED = """
return [...document.querySelectorAll(".plot")]
  .every((p) => Math.abs(p.querySelector(".main-svg").getBoundingClientRect().width - p.clientWidth) < 1);
"""


@pytest.mark.parametrize(
    "name", ["harmonics", "image", "explained", "explained classes", "corrected", "regions", "regions of a picture"]
)
def test_nothing_is_wider_than_the_screen(browser, page, name):
    run, _ = page(name)
    show(browser, run.directory / "report.html", 400)
    for width in (400, 1600, 700, 360):
        resize(browser, width)
        settle(browser, FOLLOWED)
        assert browser.execute_script(FITS), width
        assert browser.execute_script(OVERFLOWING) == []
    assert complaints(browser) == []


def axis(browser, figure, name):
    return browser.execute_script(
        f"const plot = document.querySelector('[data-figure={figure}]'); return plot._fullLayout.{name}axis.type"
    )


def press(browser, figure, selector):
    browser.execute_script(f"document.querySelector('#{figure} {selector}').click()")


def test_log_and_linear_axes(browser, page):
    run, _ = page("harmonics")
    show(browser, run.directory / "report.html")
    first = "return document.querySelector('[data-figure=residuals]').data[0].x[0]"
    assert (axis(browser, "residuals", "x"), axis(browser, "residuals", "y")) == ("log", "linear")
    assert browser.execute_script(first) == 0.4
    press(browser, "residuals", "[data-axis=x] [data-log=false]")
    press(browser, "residuals", "[data-axis=y] [data-log=true]")
    assert (axis(browser, "residuals", "x"), axis(browser, "residuals", "y")) == ("linear", "log")
    assert browser.execute_script(first) == 0
    pressed = "return [...document.querySelectorAll('#residuals [aria-pressed=true]')].map((b) => b.textContent)"
    assert browser.execute_script(pressed) == ["predicted", "linear", "log"]
    assert axis(browser, "loss", "x") == "log"
    assert complaints(browser) == []


def test_predictions_can_be_hidden(browser, page):
    run, _ = page("harmonics")
    show(browser, run.directory / "report.html")
    seen = "return document.querySelectorAll('[data-figure=residuals] .scatterlayer .trace').length"
    both = settle(browser, seen)
    press(browser, "residuals", "[data-part=predicted]")
    settle(browser, f"{seen} === {both - 3}")
    press(browser, "residuals", "[data-part=predicted]")
    settle(browser, f"{seen} === {both}")


def test_themes(browser, page):
    run, _ = page("signal")
    paper = "return getComputedStyle(document.body).backgroundColor"
    text = "return document.querySelector('[data-figure=loss]')._fullLayout.font.color"
    line = "return document.querySelector('[data-figure=residuals]').data[0].line.color"
    seen = {}
    for theme in ("light", "dark"):
        show(browser, run.directory / "report.html", theme=theme)
        seen[theme] = [browser.execute_script(script) for script in (paper, text, line)]
    assert all(light != dark for light, dark in zip(seen["light"], seen["dark"], strict=True))
    browser.execute_script("document.getElementById('theme').click()")
    assert [browser.execute_script(script) for script in (paper, text, line)] == seen["light"]
    features = [{"name": "prefers-color-scheme", "value": "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    settle(browser, "return document.documentElement.dataset.theme === 'light'")
    assert complaints(browser) == []


def test_download_of_the_numbers(browser, page):
    run, found = page("harmonics")
    show(browser, run.directory / "report.html")
    browser.execute_script("document.addEventListener('click', (event) => event.preventDefault())")
    press(browser, "spectrum", "a.csv")
    read = "fetch(document.querySelector('#spectrum a.csv').href).then((r) => r.text()).then(arguments[0])"
    text = browser.execute_async_script(read)
    rows = [line.split(",") for line in text.splitlines()]
    columns = found.figures["spectrum"]["columns"]
    assert rows[0] == list(columns)
    assert [float(row[1]) for row in rows[1:]] == columns["eigenvalue"]
    assert requests(browser) == []


def test_zooming_in_leaves_ticks(browser, page):
    run, _ = page("harmonics")
    show(browser, run.directory / "report.html")
    mode = "return document.querySelector('[data-figure=residuals]')._fullLayout.xaxis.tickmode"
    assert browser.execute_script(mode) == "array"
    zoom = "{'xaxis.range[0]': 0.5, 'xaxis.range[1]': 0.7}"
    browser.execute_script(f"Plotly.relayout(document.querySelector('[data-figure=residuals]'), {zoom})")
    settle(browser, f"{mode} === 'auto'")
    browser.execute_script("document.getElementById('theme').click()")
    assert browser.execute_script(mode) == "auto"
    press(browser, "residuals", "[data-axis=x] [data-log=false]")
    press(browser, "residuals", "[data-axis=x] [data-log=true]")
    assert browser.execute_script(mode) == "array"


def test_on_paper_it_is_light_and_unfolded(browser, page):
    run, _ = page("image")
    show(browser, run.directory / "report.html", theme="dark")
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert browser.execute_script("return document.documentElement.dataset.theme") == "light"
    assert browser.execute_script("return document.querySelectorAll('details:not([open])').length") == 0
    widths = "return [...document.querySelectorAll('.plot .main-svg')].map((s) => s.getBoundingClientRect().width)"
    assert max(browser.execute_script(widths)) <= 660
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script("return document.documentElement.dataset.theme") == "dark"
    assert browser.execute_script("return document.querySelectorAll('details[open]').length") == 0


@pytest.mark.parametrize("names", [("signal", "adam"), ("image", "truncated", "classes")])
def test_comparison_draws_without_a_network(browser, small_run, tmp_path, names):
    path = report.write_comparison([small_run(name) for name in names], tmp_path / "comparison.html")
    for width in (400, 1200):
        show(browser, path, width)
        assert browser.execute_script("return document.querySelectorAll('.plot .main-svg').length") >= 2
        assert browser.execute_script(FITS)
        assert browser.execute_script(OVERFLOWING) == []
        assert complaints(browser) == []
        assert requests(browser) == []
