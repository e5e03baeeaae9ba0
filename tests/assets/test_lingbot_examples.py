"""LingBot-World's own examples through the whole program, with a tiny model in the place of the released one."""

import json

import pytest

from tests.lingbot_world.test_command import command, place  # noqa: F401
from worldkv_jax.cli.main import main
from worldkv_jax.media import read_video

pytestmark = pytest.mark.assets


@pytest.mark.parametrize("example", ["00", "01"])
def test_an_example(place, assets, tmp_path, example):  # noqa: F811
    folder = assets / "lingbot_world" / example
    words = command(
        place,
        image=folder / "image.jpg",
        prompt=folder / "prompt.txt",
        trajectory=folder,
        frames=33,
        out=tmp_path / "made",
    )
    assert main(words) == 0
    (video,) = (tmp_path / "made").glob("*.mp4")
    assert len(read_video(video)[0]) == 33
    assert json.loads((tmp_path / "made" / "report.json").read_text())["chunks"]
