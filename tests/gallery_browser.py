"""A headless Chromium for the gallery's tests and benchmark, and pages in which nothing may go wrong."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

__all__ = ["Watched", "chromium", "headless_chromium", "watched", "watched_page"]

QUIET_BROWSER = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Watched:
    """A browser page that remembers what went wrong in it and what it asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.troubles: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.troubles.append(message.text))
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, path: Path) -> Page:
        self.page.goto(path.as_uri())
        return self.page


@contextmanager
def headless_chromium() -> Iterator[Browser]:
    """A headless Chromium; where there is none, the test is skipped, and says so."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("NOT TESTED: the gallery in a browser, since chromium is not installed (apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET_BROWSER)
        yield browser
        browser.close()


@contextmanager
def watched_page(chromium: Browser) -> Iterator[Watched]:
    """A page in which nothing may go wrong and which may ask for nothing but its own file."""
    context = chromium.new_context(viewport={"width": 1000, "height": 800})
    page = Watched(context.new_page())
    yield page
    context.close()
    assert page.troubles == []
    assert [url for url in page.requests[1:] if not url.startswith("data:")] == []


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless Chromium for the tests of a module."""
    with headless_chromium() as browser:
        yield browser


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Watched]:
    """A page of it for one test."""
    with watched_page(chromium) as page:
        yield page
