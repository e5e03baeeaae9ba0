"""Somebody at the page: walks, reads what it says, and notes what the browser asks for and complains about."""

import json
import re
import time
from pathlib import Path
from typing import Any

PATIENCE = 300_000  # milliseconds; machines that run tests may be busy, and what is waited for comes
# Some sentences stand for a moment only: they are noted as they come.
NOTE_WHAT_IS_SAID = """
    window.said = [];
    new MutationObserver(() => {
        for (const id of ["notice", "caption", "problem", "share-problem"]) {
            const sentence = document.getElementById(id)?.textContent.trim();
            if (sentence && window.said.at(-1) !== sentence) window.said.push(sentence);
        }
    }).observe(document, { childList: true, subtree: true, characterData: true });
"""


class Visitor:
    """One page that is open, under the address of its server."""

    def __init__(self, page, address: str):
        self.page, self.address = page, address.split("#")[0]
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.add_init_script(NOTE_WHAT_IS_SAID)
        page.goto(address)
        self.wait_to_play()

    def leave(self) -> None:
        """Close the page."""
        self.page.context.close()

    def wait_to_play(self) -> None:
        """Wait for the first picture."""
        self.until("document.querySelector('#notice').hidden && document.querySelector('.lane')")
        self.wait_for(1)

    def until(self, expression: str) -> None:
        """Wait until an expression of the page is true; Playwright's own way needs a page that allows `eval`."""
        end = time.monotonic() + PATIENCE / 1000
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"still not: {expression}"
            self.page.wait_for_timeout(50)

    def hear(self, sentence: str) -> None:
        """Wait until the page has said this, since it was loaded."""
        self.until(f"window.said.some((one) => one.includes({json.dumps(sentence)}))")

    @property
    def position(self) -> int:
        """Chunks made, as the time line says."""
        return int(re.search(r"(\d+) chunk", self.page.inner_text("#moment")).group(1))

    def wait_for(self, chunks: int) -> None:
        """Wait until so many chunks are made."""
        self.until(f"Number(/(\\d+) chunk/.exec(document.querySelector('#moment').textContent)?.[1]) >= {chunks}")

    def walk(self, key: str, chunks: int) -> None:
        """Hold a key until so many chunks more are made."""
        self.page.keyboard.down(key)
        self.wait_for(self.position + chunks)
        self.page.keyboard.up(key)
        self.rest()

    def rest(self) -> None:
        """Wait until the server has done all that it was told, and the page shows all of it."""
        self.until("document.querySelector('#pace dd')?.textContent === 'at rest'")

    def button(self, name: str):
        """Return the button of this name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def pixels(self, lane: int = 0) -> list[int]:
        """Return what a picture shows, RGBA."""
        return self.page.evaluate(
            """lane => {
                const shown = document.querySelectorAll('.lane canvas')[lane];
                const copy = new OffscreenCanvas(shown.width, shown.height).getContext('2d');
                copy.drawImage(shown, 0, 0);
                return Array.from(copy.getImageData(0, 0, shown.width, shown.height).data);
            }""",
            lane,
        )

    def decibels(self) -> list[float]:
        """Return the mean PSNR on revisits of each memory, as the page shows it."""
        shown = self.page.locator("#truth [data-decibels]")
        return [float(value.get_attribute("data-decibels")) for value in shown.all()]

    def session(self) -> str:
        """Return the id of the session that a reload comes back to."""
        return json.loads(self.page.evaluate("sessionStorage.getItem('worldkv.session')"))["id"]

    def download(self, click, folder: Path) -> Path:
        """Return the file that a click on an element brings."""
        with self.page.expect_download() as download:
            click.click()
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path

    def session_file(self, folder: Path) -> dict[str, Any]:
        """Return the session file that the page saves."""
        self.button("Share").click()
        path = self.download(self.button("Save a session file"), folder)
        self.page.keyboard.press("Escape")
        return json.loads(path.read_text())
