"""The same page on the other models, as small ones with random weights."""

import pytest

from tests.play.browser.conftest import served

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    "model",
    [
        "matrix-game-2",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("lingbot-world-fast", "inspatio-world")),
    ],
)
def test_random_weights_are_labelled_across_the_picture(model, visit):
    with served(model, "--tiny", "--no-state") as address:
        visitor = visit(address)
        assert visitor.page.get_by_text("RANDOM WEIGHTS").is_visible()
        assert model in visitor.page.inner_text("h1")
        visitor.walk("w", 2)
        assert any(visitor.pixels())
        visitor.leave()  # while there is a server: it would look for it
