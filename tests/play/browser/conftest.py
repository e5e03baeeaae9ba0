"""A served world, and a browser on it; what needs them is skipped where no Playwright or Chromium is installed."""

import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.play.browser.visitor import Visitor
from worldkv_jax.play.local_server import local_server

# No screen, no graphics card, and no talk with anybody but the page's server.
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The program of an installed Chromium."""
    pytest.importorskip("playwright", reason="no Playwright: pip install playwright")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return found or pytest.skip("no Chromium is installed")


@pytest.fixture(scope="session")
def world(chromium, tmp_path_factory) -> Iterator[str]:
    """The address of a served demo world."""
    with local_server("demo-world", "--state", str(tmp_path_factory.mktemp("state"))) as address:
        yield address


@pytest.fixture(scope="module")
def browser(chromium):
    """A headless browser; not longer than a module, since its driver's event loop would be in the way of others."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def visit(browser) -> Iterator[Callable[..., Visitor]]:
    """Open a page; at the end, nothing was asked of another host and nothing was complained about in the console."""
    visitors = []

    def open_page(address: str, **context) -> Visitor:
        visitors.append(Visitor(browser.new_context(**context).new_page(), address))
        return visitors[-1]

    yield open_page
    for visitor in visitors:
        visitor.leave()
        assert not visitor.complaints
        assert all(url.startswith((visitor.address, "blob:")) for url in visitor.asked), visitor.asked
