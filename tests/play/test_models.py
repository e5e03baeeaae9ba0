"""Every model is played: keys move it, worlds fork, and what was done makes the same world again."""

import io

import numpy as np
import pytest
from PIL import Image

from worldkv_jax import open_model
from worldkv_jax.play.game import Game
from worldkv_jax.play.history import Tree
from worldkv_jax.play.player import Player
from worldkv_jax.play.uploads import decode_picture
from worldkv_jax.sessions.steering import Controls

MODELS = ("inspatio-world", "lingbot-world-fast", "matrix-game-2")


def walk(player, chunks):
    """Hold another key in every chunk, with a mouse that moves a little."""
    keys = "lwajs"[:chunks]
    return [player.step(Controls(((key,),) * player.frames_of_next(), (2.0, 1.0))) for key in keys]


def sums(chunks):
    return [[lane.latents for lane in chunk.lanes] for chunk in chunks]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_tiny_model_is_played(name):
    game = Game.open(open_model(name, tiny=True), None, longest=40).load()
    assert game.default.random_weights and {"default", "window"} <= game.sessions.keys()
    player = Player(game, Tree(7, ("default", "window")))
    made = walk(player, 5)
    assert [len(chunk.lanes[0].frames) for chunk in made] == [9, 12, 12, 12, 12]
    assert made[-1].lanes[0].frames.shape[1:3] == game.size and made[-1].lanes[0].picks
    assert made[0].stance.yaw > 0 and np.linalg.norm(made[1].stance.position) > 0
    player.tree.fork(3)
    assert sums(player.make_current())[-1] == sums(made)[2]
    idle = player.step(Controls(((),) * player.frames_of_next()))
    assert sums([idle])[0] != sums(made)[3]
    player.tree.switch(0)
    assert sums(player.make_current())[-1] == sums(made)[-1]
    if game.steering.takes_picture:
        file = io.BytesIO()
        Image.new("RGB", (300, 200), (250, 10, 10)).save(file, "PNG")
        pictured = Player(game, Tree(7, ("default", "window"), "a picture"), decode_picture(file.getvalue()))
        assert sums(walk(pictured, 1)) != sums(made[:1])
    else:
        assert name == "inspatio-world"


@pytest.mark.parametrize("name", (*(pytest.param(name, marks=pytest.mark.long) for name in MODELS), "demo-world"))
def test_options_of_a_played_model_leave_room(name):
    """Checked without weights, as `worldkv plan` does."""
    given = {} if name == "demo-world" else {"tiny": True}
    game = Game.open(open_model(name, **given), None, longest=50)
    assert next(iter(game.sessions)) == "default" and game.rooms["default"] == 50
    for session in game.sessions.values():
        bank = session.memory.bank
        assert bank is None or (bank.tier == "device_slots" and bank.when_full == "drop_most_redundant")


@pytest.mark.long
def test_the_room_is_remembered_and_forgotten_by_the_window(demo):
    player = Player(demo, Tree(7, ("default", "window")))
    for key in "llllllwjjjjj":
        made = player.step(Controls(((key,),) * player.frames_of_next()))
    default, window = made.lanes
    assert default.psnr > window.psnr + 3
    assert default.picks and not window.picks
    assert player.first == 12 and made.index == player.first + 11
