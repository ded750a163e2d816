"""The page /docs: every kind of field, a job that is run, cancelled and refused, files both ways, keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.up import Up, until

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WAIT_MS = 30_000

APP = '''
import time
from typing import Literal
from zeroidle import Audio, File, InputError, cancelled, endpoint, progress

@endpoint(idle="60s")
def speak(text: str, tone: Literal["low", "high"] = "low", times: int = 1, loud: bool = False) -> dict:
    """Says <b>a text</b> so many times."""
    if text == "fail":
        raise ValueError("no <i>such</i> text")
    said = " ".join([text] * times)
    return {"said": said.upper() if loud else said, "tone": tone}

@endpoint(idle="60s")
def size(data: File) -> File:
    """Turns a file round."""
    return File(data.bytes()[::-1], name="round-" + data.name)

@endpoint(idle="60s")
def tone(seconds: float = 0.1) -> Audio:
    """Beeps."""
    return Audio([0.1] * int(8000 * seconds), 8000)

@endpoint(idle="60s")
def slow() -> int:
    """Counts until it is told to stop."""
    for step in range(100000):
        if cancelled():
            return step
        progress({"step": step})
        time.sleep(0.01)
    return -1
'''


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    found = Up(tmp_path_factory.mktemp("docs"), "app.py", files={"app.py": APP})
    yield found
    found.kill()


@pytest.fixture
def page(browser: Browser, up: Up) -> Iterator[Page]:
    """The page, with every error of a script or of the content policy made a failure of the test."""
    context = browser.new_context()
    found = context.new_page()
    problems: list[str] = []
    found.on("pageerror", lambda error: problems.append(str(error)))
    found.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    found.goto(up.url + "/docs")
    found.wait_for_selector("section")
    yield found
    context.close()
    assert not [problem for problem in problems if "status of 40" not in problem], problems


def test_a_job_is_run_with_every_kind_of_field(page: Page) -> None:
    section = page.locator("#speak")
    assert section.locator("p.doc").inner_text() == "Says <b>a text</b> so many times."  # text, never markup
    section.get_by_label("text").fill("ho")
    section.get_by_label("tone").select_option(label="high")
    section.get_by_label("times").fill("3")
    section.get_by_label("loud").check()
    section.get_by_role("button", name="Run").click()
    expect(section.get_by_role("status")).to_contain_text("COMPLETED", timeout=WAIT_MS)
    assert '"said": "HO HO HO"' in section.inner_text()
    assert '"tone": "high"' in section.inner_text()
    assert re.search(r"queued \d+ ms, ran \d+ ms", section.inner_text())


def test_defaults_are_left_to_the_handler(page: Page) -> None:
    section = page.locator("#speak")
    section.get_by_label("text").fill("ho")
    section.get_by_role("button", name="Run").click()
    expect(section.get_by_role("status")).to_contain_text("COMPLETED", timeout=WAIT_MS)
    assert '"said": "ho"' in section.inner_text() and '"tone": "low"' in section.inner_text()


def test_a_wrong_input_is_named(page: Page) -> None:
    section = page.locator("#speak")
    section.get_by_role("button", name="Run").click()
    page.wait_for_selector("#speak .problem")
    assert section.locator(".problem").inner_text() == "input.text is missing."


def test_a_failure_is_shown_as_text(page: Page) -> None:
    section = page.locator("#speak")
    section.get_by_label("text").fill("fail")
    section.get_by_role("button", name="Run").click()
    page.wait_for_selector("#speak .problem")
    assert "no <i>such</i> text" in section.locator(".problem").inner_text()


def test_a_file_goes_up_and_comes_back(page: Page, tmp_path: Path) -> None:
    (tmp_path / "abc.txt").write_text("abc")
    section = page.locator("#size")
    section.locator("input[type=file]").set_input_files(tmp_path / "abc.txt")
    section.get_by_role("button", name="Run").click()
    link = section.locator("a[download]")
    link.wait_for()
    assert link.get_attribute("download") == "round-abc.txt"
    with page.expect_download() as caught:
        link.click()
    assert Path(str(caught.value.path())).read_text() == "cba"


def test_sound_gets_a_player(page: Page) -> None:
    section = page.locator("#tone")
    section.get_by_role("button", name="Run").click()
    section.locator("audio").wait_for()
    until(lambda: section.locator("audio").evaluate("sound => sound.duration > 0.09"), "the sound is loaded")


def test_progress_is_shown_and_cancel_ends_it(page: Page) -> None:
    section = page.locator("#slow")
    section.get_by_role("button", name="Run").click()
    expect(section).to_contain_text('"step"', timeout=WAIT_MS)
    section.get_by_role("button", name="Cancel").click()
    expect(section.get_by_role("status")).to_contain_text("CANCELLED", timeout=WAIT_MS)


def test_with_keys_the_page_asks_for_one(browser: Browser, tmp_path: Path) -> None:
    up = Up(tmp_path, "app.py", files={"app.py": APP})
    try:
        key = up.data_of("keys", "create", "mine")["key"]
        context = browser.new_context()
        page = context.new_page()
        page.goto(up.url + "/docs")
        page.wait_for_selector(".problem")
        assert page.locator("section").count() == 0
        page.get_by_label("API key").fill(key)
        page.get_by_label("API key").press("Enter")
        page.wait_for_selector("section")
        section = page.locator("#speak")
        section.get_by_label("text").fill("ho")
        section.get_by_role("button", name="Run").click()
        expect(section.get_by_role("status")).to_contain_text("COMPLETED", timeout=WAIT_MS)
        context.close()
    finally:
        up.kill()
