"""Warming up: programs are compiled before somebody waits for them."""

from collections.abc import Sequence

from worldkv_jax.play.game import Game
from worldkv_jax.play.history import Tree
from worldkv_jax.play.player import POINT_EVERY, Player
from worldkv_jax.sessions.steering import Controls

WARM = ("default", "window")
"""Memories whose programs are compiled before the server's address is printed."""


def warm_up(game: Game, memories: Sequence[str] = WARM) -> None:
    """Compile what sessions with these memories run: first chunks, later ones, points, and what follows a fork."""
    player = Player(game, Tree(0, [name for name in memories if name in game.sessions]))
    for _ in range(POINT_EVERY + 2):
        player.step(Controls(((),) * player.frames_of_next()))
    player.tree.fork()
    for _ in player.make_current():
        pass
    player.close()
