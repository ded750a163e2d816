"""The report opened in a real browser: nothing is blocked or broken, and a click plays the sound it stands for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from zeroidle.recipes.speech.assess_service import AssessService, Request
from zeroidle.recipes.speech.report import html

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed")
        pytest.skip("needs chromium: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def page_file(espeak: None, testdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    clip = testdata / "librivox" / "sense_and_sensibility_01_austen_64kb-0880.wav"
    answer = AssessService().run(Request(clip, "He was not an umbrella ill disposed young man."))
    page = html(answer.assessment, answer.recording.samples, answer.text, answer.form, "footer", ["a warning"])
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def test_nothing_is_blocked_or_broken(browser: Browser, page_file: Path) -> None:
    page = browser.new_page()
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto(page_file.as_uri())
    page.locator(".phone").last.click()
    assert page.locator("li button").count() >= 1
    assert not trouble


def test_a_click_plays_its_sound(browser: Browser, page_file: Path) -> None:
    page = browser.new_page(bypass_csp=True)  # waiting for a condition is an eval, which the page forbids
    page.goto(page_file.as_uri())
    page.wait_for_function("document.querySelector('audio').readyState >= 2")
    assert page.evaluate("document.querySelector('audio').duration") == pytest.approx(2.99, abs=0.05)
    last = page.locator(".phone").last
    start_s = float(last.get_attribute("data-from") or 0)
    last.click()
    page.wait_for_function(f"document.querySelector('audio').currentTime >= {start_s - 0.01}")
    page.wait_for_function("document.querySelector('audio').paused")
    assert page.evaluate("document.querySelector('audio').currentTime") < 3.0


def test_the_parts_stand_under_each_other_on_a_telephone_too(browser: Browser, page_file: Path) -> None:
    for width in (360, 1280):
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.goto(page_file.as_uri())
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, width  # the tracks scroll inside their frame, not the page
        words = page.locator(".word:not(.omitted)")
        boxes = [words.nth(n).bounding_box() for n in range(words.count())]
        edges = [(box["x"], box["x"] + box["width"]) for box in boxes if box]
        assert all(end <= start + 1 for (_, end), (start, _) in pairwise(edges))
