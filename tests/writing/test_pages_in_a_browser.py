"""The pages in headless Chromium, as a reader uses them: scroll, switch, keys, dark, print.

Needs Debian's ``chromium`` and ``chromium-driver`` and Python's ``selenium``; the check of
accessibility needs axe-core (``CTLUNG_AXE`` names its ``axe.min.js``). What is absent is skipped.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.known_pair import BOX, CORE, OTHER, blocks, compared
from support.small_result import small_result

from ctlung.writing.pages.comparison_page import comparison_page
from ctlung.writing.pages.scan_page import scan_page

selenium = pytest.importorskip("selenium", reason="selenium is not installed")
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")),
        reason="chromium and chromedriver are not installed",
    ),
]
QUIET = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--window-size=1300,1000"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for argument in QUIET.split():
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    pair = compared(blocks((BOX, -600), (CORE, -100)), blocks((CORE, -500), (OTHER, -450)))
    pages = {"scan": scan_page(small_result()), "pair": comparison_page(pair)}
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in pages}


@pytest.fixture(params=["scan", "pair"])
def page(request: pytest.FixtureRequest, browser: Any, files: dict[str, Path]) -> Iterator[Any]:
    browser.get(files[request.param].as_uri())
    yield browser
    complaints = [e for e in browser.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]
    assert complaints == []
    asked = browser.execute_script("return performance.getEntriesByType('resource').map(e=>e.name)")
    assert [name for name in asked if not name.startswith("data:")] == []


def _one(page: Any, selector: str) -> Any:
    return page.find_element("css selector", selector)


def _said(page: Any) -> str:
    return str(_one(page, ".viewer output").text)


def _picture(page: Any) -> str:
    return str(_one(page, ".panel img").get_attribute("src"))


def test_keys_move_through_the_slices(page: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    start, picture = _said(page), _picture(page)
    viewer = _one(page, ".viewer")
    viewer.send_keys(Keys.ARROW_UP)
    assert _said(page) != start
    assert _picture(page) != picture
    viewer.send_keys(Keys.ARROW_DOWN)
    assert (_said(page), _picture(page)) == (start, picture)
    viewer.send_keys(Keys.HOME)
    first = _said(page)
    viewer.send_keys(Keys.ARROW_DOWN)
    assert _said(page) == first
    viewer.send_keys(Keys.END)
    slider = _one(page, ".viewer input[type=range]")
    assert slider.get_attribute("value") == slider.get_attribute("max")
    slider.send_keys(Keys.ARROW_LEFT)
    assert int(slider.get_attribute("value")) == int(slider.get_attribute("max")) - 1
    assert slider.get_attribute("aria-valuetext") == _said(page)
    assert _said(page) in _one(page, ".panel img").get_attribute("alt")


def test_the_wheel_moves_the_slices_and_then_the_page(page: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
    from selenium.webdriver.common.keys import Keys

    plane = _one(page, ".plane")
    page.execute_script("arguments[0].scrollIntoView()", plane)
    at, start = page.execute_script("return scrollY"), _said(page)
    origin = ScrollOrigin.from_element(plane)
    ActionChains(page).scroll_from_origin(origin, 0, 100).perform()
    assert _said(page) != start
    assert page.execute_script("return scrollY") == at
    _one(page, ".viewer").send_keys(Keys.HOME)
    ActionChains(page).scroll_from_origin(origin, 0, 300).pause(0.5).perform()
    assert page.execute_script("return scrollY") > at


def test_a_drag_moves_the_slices(page: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    start = _said(page)
    plane = _one(page, ".plane")
    ActionChains(page).click_and_hold(plane).move_by_offset(20, 0).release().perform()
    assert _said(page) != start


def test_outlines_windows_and_views_are_switched(page: Any) -> None:
    box = _one(page, "input[data-outline]")
    name = box.get_attribute("data-outline").split()[0]
    path = _one(page, f"path[data-name={name}]")
    assert path.is_displayed()
    box.click()
    assert not path.is_displayed()
    image = _one(page, ".panel img")
    before = image.value_of_css_property("filter")
    _one(page, "input[value=soft]").click()
    assert image.value_of_css_property("filter") != before
    axial = _said(page)
    _one(page, "input[value=coronal]").click()
    assert _said(page) != axial
    assert "coronal" in _said(page)
    assert _one(page, ".edge:nth-of-type(3)").text == "H"


def test_a_definition_is_one_click_away(page: Any) -> None:
    button = _one(page, "button.name")
    window = _one(page, "#" + button.get_attribute("popovertarget"))
    assert not window.is_displayed()
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    assert window.is_displayed()


def test_light_and_dark_differ(page: Any) -> None:
    seen = set()
    for scheme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        seen.add(_one(page, "body").value_of_css_property("background-color"))
    assert len(seen) == 2


def test_it_prints_and_paints_within_a_second(page: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    pdf = base64.b64decode(page.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page/") <= 20
    asked = (
        "const seen = performance.getEntriesByName('first-contentful-paint');"
        "return seen.length ? seen[0].startTime : null"
    )
    paint = WebDriverWait(page, 20).until(lambda b: b.execute_script(asked))
    assert paint < 1000


def test_nothing_serious_stands_in_the_way_of_anyone(page: Any) -> None:
    axe = Path(os.environ.get("CTLUNG_AXE", ""))
    if not axe.is_file():
        pytest.skip("axe-core is not there: set CTLUNG_AXE to its axe.min.js")
    page.execute_script(axe.read_text(encoding="utf-8"))
    found = page.execute_async_script(
        "const done = arguments[0]; axe.run(document).then(r => done(r.violations.map(v => "
        "[v.id, v.impact, v.nodes.length, v.nodes[0].html])))"
    )
    assert [v for v in found if v[1] in ("serious", "critical")] == []
