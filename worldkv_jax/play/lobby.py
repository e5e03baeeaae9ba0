"""The lobby: who plays, who waits, and who may come back."""

import secrets
from concurrent.futures import ThreadPoolExecutor

from worldkv_jax.play.game import Game
from worldkv_jax.play.history import Tree
from worldkv_jax.play.player import Player
from worldkv_jax.play.seat import Seat
from worldkv_jax.play.turns import Turns


class Lobby:
    """All sessions of a server."""

    def __init__(self, game: Game, *, idle_seconds: float = 900.0):
        self.game = game
        self.turns = Turns()
        self.seats: dict[str, Seat] = {}
        self._encoders = ThreadPoolExecutor(2, thread_name_prefix="play-encode")
        self._idle_seconds = idle_seconds

    async def new(self, seed: int, memories: tuple[str, ...]) -> Seat:
        """Begin a session."""
        name = secrets.token_urlsafe(24)
        async with self.turns.turn(name) as turn:
            player = await turn.run(Player, self.game, Tree(seed, memories))
        seat = Seat(name, player, self.turns, self._encoders, idle_seconds=self._idle_seconds)
        self.seats[name] = seat
        return seat

    def close(self) -> None:
        """End all threads."""
        self.turns.close()
        self._encoders.shutdown(cancel_futures=True)
