"""A real Chromium (Debian's, installed by `make peers`) at the console of an ISP that runs.

Its profile is new each time, and it looks nothing up on the Internet.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from builders.console_isp import PASSWORD, ConsoleIsp
from console.conftest import isp, numbers

__all__ = ["isp", "numbers"]

CHROMIUM = Path("/usr/bin/chromium")
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.path).parents:
            item.add_marker(pytest.mark.peers)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("there is no Chromium: sudo make peers")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Browser, isp: ConsoleIsp) -> Iterator[Callable[..., Page]]:
    """`opened("noc", dark=True)`: a page of the console, logged in; without a name, at the login. A script's
    error or a refused resource fails the test."""
    contexts, complaints = [], []

    def page_for(name: str | None = None, *, dark: bool = False, width: int = 1280) -> Page:
        context = chromium.new_context(
            base_url=isp.url,
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": 900},
            timezone_id="Europe/Berlin",
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto("/console")
        if name is not None:
            page.get_by_label("Name", exact=True).fill(name)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Log in").click()
            page.wait_for_url("**/console")
        return page

    yield page_for
    for context in contexts:
        context.close()
    assert not [each for each in complaints if "status of 40" not in each], complaints
