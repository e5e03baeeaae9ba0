"""The same page on the other models, as small ones with random weights."""

import io

import pytest
from PIL import Image

from tests.play.browser.visitor import Visitor
from worldkv_jax.play.local_server import local_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def begin_with_a_picture(visitor: Visitor) -> None:
    """Upload a start picture, and see that another session begins."""
    session, picture = visitor.session(), io.BytesIO()
    Image.effect_noise((64, 48), 80).convert("RGB").save(picture, "PNG")
    file = {"name": "start.png", "mimeType": "image/png", "buffer": picture.getvalue()}
    visitor.page.locator("#picture").set_input_files(file)
    assert visitor.page.inner_text("#picture-name") == "start.png"
    visitor.button("Begin with these").click()
    visitor.until(f"!sessionStorage.getItem('worldkv.session')?.includes({session!r}) && sessionStorage.length")
    visitor.wait_to_play()
    assert any(visitor.pixels())


@pytest.mark.parametrize("model", ["matrix-game-2", "lingbot-world-fast", "inspatio-world"])
def test_random_weights_are_labelled_across_the_picture(model, visit):
    with local_server(model, "--tiny", "--no-state") as address:
        visitor = visit(address)
        assert visitor.page.get_by_text("RANDOM WEIGHTS").is_visible()
        assert model in visitor.page.inner_text("h1")
        visitor.walk("w", 2)
        assert any(visitor.pixels())
        if visitor.page.locator("#picture-field").is_visible():
            begin_with_a_picture(visitor)
        visitor.leave()  # while there is a server: it would look for it
