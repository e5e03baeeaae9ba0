"""Session files of played worlds: what was done, in one small JSON that can be shared and played again."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from worldkv_jax.play.game import Game
from worldkv_jax.play.history import Tree
from worldkv_jax.play.store import Shown
from worldkv_jax.play.uploads import checksum
from worldkv_jax.sessions.file_formats import PLAYED_FORMAT, ROLLOUT_FORMAT
from worldkv_jax.sessions.identity import made_with
from worldkv_jax.sessions.seeds import check_seed
from worldkv_jax.sessions.steering import Controls

_VERSION = 1
MOST_CHUNKS = 20_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlayedSession:
    """What made the current branch of a played world."""

    seed: int
    memories: tuple[str, ...]
    controls: tuple[Controls, ...]
    latents: tuple[str | None, ...] = ()
    """Checksum of the first lane's latents of each chunk, where it was made."""


def write(game: Game, tree: Tree, shown: Mapping[str, Shown]) -> dict[str, Any]:
    """Return the current branch as JSON."""
    history = tree.history
    latents = [shown[mark].latents if mark in shown else None for mark in history.marks[1:]]
    return {
        "format": PLAYED_FORMAT,
        "version": _VERSION,
        "model": game.default.model,
        "identity": game.identity,
        "made_with": made_with(),
        "seed": tree.seed,
        "picture": tree.picture,
        "memories": list(tree.memories),
        "controls": [controls.to_json() for controls in history.controls],
        "latents": latents,
    }


def read(game: Game, data: Mapping[str, Any], *, picture: bytes | None = None) -> PlayedSession:
    """Read a session file that somebody sent, with the picture that its world begins with, where it has one.

    Raises:
        ValueError: it is none, is damaged, or was played with another model.
    """
    if data.get("format") == ROLLOUT_FORMAT:
        raise ValueError("this is the session file of a rollout; `worldkv replay FILE` makes its world again")
    if data.get("format") != PLAYED_FORMAT or data.get("version") != _VERSION:
        raise ValueError("this is no session file of this version; the page saves them, and the event session_file")
    if (model := data.get("model")) != game.default.model:
        raise ValueError(f"the session was played with {str(model)[:40]!r}, and this is {game.default.model}")
    if data.get("picture") != (None if picture is None else checksum(picture)):
        raise ValueError(
            "the session begins with a picture: send the same one as first_frame, or none where it has none"
        )
    controls, latents, memories = data.get("controls"), data.get("latents"), data.get("memories")
    if not isinstance(controls, list) or not 0 < len(controls) <= MOST_CHUNKS:
        raise ValueError(f"the session file has no controls, or those of more than {MOST_CHUNKS:,} chunks")
    if (
        not isinstance(memories, list)
        or not 1 <= len(memories) <= 2
        or not all(isinstance(name, str) and name in game.sessions for name in memories)
    ):
        raise ValueError(f"the session file asks for other memories than {', '.join(game.sessions)}")
    if not isinstance(latents, list) or not all(isinstance(one, str | None) for one in latents):
        raise ValueError("the session file has no checksums of latents")
    return PlayedSession(
        seed=check_seed(data.get("seed")),
        memories=tuple(memories),
        controls=tuple(Controls.from_json(one) for one in controls),
        latents=tuple(latents),
    )
