"""The messages to clients: SGLang's, and what our own clients get besides."""

import hashlib
import typing
from collections.abc import Sequence
from typing import Any

from worldkv_jax.cameras.actions import Stance
from worldkv_jax.play import frames as pictures
from worldkv_jax.play.game import Game
from worldkv_jax.play.outlet import Outlet
from worldkv_jax.play.player import PlayedChunk
from worldkv_jax.play.protocol import FORMATS, Init

if typing.TYPE_CHECKING:
    from worldkv_jax.play.seat import Seat
    from worldkv_jax.play.store import Shown


class View:
    """One client's view of a session: what it asked for decides what it is sent."""

    def __init__(self, init: Init, seat: "Seat", outlet: Outlet):
        player = seat.player
        self.form, self.quality = init.form, init.quality
        self._session = public_name(seat.name)
        self._extended, self._player, self._outlet = init.extension is not None, player, outlet
        self._max_chunks = init.max_chunks
        self._request = 0
        self._said: str | None = None

    async def receipt(self, number: int, status: str, *, chunk: int | None = None, content: str | None = None) -> None:
        """Say what became of an event; a client that knows no receipts is told of refusals alone."""
        if self._extended:
            more = {"chunk_index": chunk, "content": content}
            more = {name: value for name, value in more.items() if value is not None}
            await self._outlet.send({"type": "receipt", "event_id": number, "status": status, **more})
        elif status == "refused":
            await self._outlet.error(content or "refused", event_id=number)

    @property
    def gone(self) -> bool:
        """Whether the client is gone."""
        return self._outlet.gone.is_set()

    async def send(self, kind: str, **more: Any) -> None:
        """Send a message that only our own clients know."""
        if self._extended:
            await self._outlet.send({"type": kind, **more})

    async def status(self, content: str, **more: Any) -> None:
        """Say what goes on, once."""
        if content == self._said:
            return
        self._said = content
        if self._extended:
            await self.send("status", content=content, **more)
        else:
            await self._outlet.error(content)

    async def rest(self, number: int) -> None:
        """Say that nothing comes until somebody does something, and the number of the latest event that was seen."""
        await self.send("rest", event_id=number)

    async def session(self, seat: "Seat", *, resumed: bool) -> None:
        """Say what is played, at the beginning and where that changes."""
        if self._extended:
            await self._outlet.send(session_message(seat, resumed=resumed, max_chunks=self._max_chunks))

    async def timeline(self, seat: "Seat") -> None:
        """Send all branches, and what is kept of their chunks."""
        if self._extended:
            await self._outlet.send(timeline(seat))

    async def chunk(
        self,
        chunk: PlayedChunk,
        encoded: Sequence[pictures.Encoded],
        shown: "Shown",
        applied: list[int],
        last_event: int,
        *,
        queued: float,
        encode_ms: int,
    ) -> None:
        """Send a chunk's frames and what is to be said of it."""
        self._said = None
        self._request += 1
        # Clients that know no given chunks count from the first that they see.
        index = chunk.index if self._extended else chunk.index - self._player.first
        head = {"request_id": str(self._request), "chunk_index": index, "event_id": last_event}
        if self._extended:
            for number in applied:
                await self.receipt(number, "applied", chunk=index)
        before = self._outlet.sent_bytes
        batches = 0
        for lane, one in enumerate(encoded if self._extended else encoded[:1]):
            more = {"lane": lane, "branch": chunk.branch} if self._extended else {}
            for message in frame_batches(one):
                batches += 1
                await self._outlet.send({"type": "frame_batch", **head, **message, **more})
        await self._outlet.drained()
        forward = round(1000 * sum(lane.seconds for lane in chunk.lanes))
        stats: dict[str, Any] = {
            "type": "chunk_stats",
            "session_id": self._session,
            **head,
            "request_prepare_ms": 0,
            "scheduler_forward_ms": forward,
            "pace_wait_ms": 0,
            "raw_payload_build_ms": encode_ms,
            "ws_write_ms": self._outlet.write_ms,
            "chunk_total_ms": round(1000 * queued) + forward + encode_ms,
            "num_batches": batches,
            "num_frames": len(encoded[0].frames),
            "raw_bytes": sum(one.raw_bytes for one in encoded),
            "ws_payload_bytes": self._outlet.sent_bytes - before,
            "content_type": encoded[0].content_type,
        }
        if self._extended:
            stats |= {
                "branch": chunk.branch,
                "camera": shown.camera,
                "thumbnail": shown.thumbnail,
                "applied_event_ids": applied,
                "queue_ms": round(1000 * queued),
                "lanes": [
                    {
                        "memory": lane.memory,
                        "picks": list(lane.picks),
                        "attended_tokens": lane.attended_tokens,
                        "kv_bytes": lane.kv_bytes,
                        "psnr": lane.psnr,
                        "compute_ms": round(1000 * lane.seconds),
                    }
                    for lane in chunk.lanes
                ],
            }
        await self._outlet.send(stats)


def frame_batches(encoded: pictures.Encoded) -> list[dict[str, Any]]:
    """Return what the messages of a chunk's frames say of them."""
    batches = encoded.batches()
    raw = {"channels": 3, "bytes_per_frame": encoded.width * encoded.height * 3} if encoded.form == "raw" else {}
    return [
        {
            "content_type": encoded.content_type,
            "format": FORMATS[encoded.form],
            "encoding": encoded.form,
            "width": encoded.width,
            "height": encoded.height,
            "num_frames": len(batch),
            "total_size": sum(map(len, batch)),
            "payload_lengths": [len(frame) for frame in batch],
            "payload": b"".join(batch),
            "frame_batch_index": number,
            "num_frame_batches": len(batches),
            "is_final_frame_batch": number == len(batches) - 1,
            **raw,
        }
        for number, batch in enumerate(batches)
    ]


def timeline(seat: "Seat") -> dict[str, Any]:
    """Return the message with all branches, and what is kept of their chunks."""
    player, first = seat.player, seat.player.first
    beginning = player.beginning
    chunks: list[dict[str, Any]] = [
        {
            "branch": 0,
            "chunk_index": index,
            "camera": camera_of(stance),
            "thumbnail": pictures.thumbnail(frames),
        }
        for index, (stance, frames) in enumerate(zip(beginning.stances, beginning.frames))
    ]
    branches = []
    for branch in player.tree.branches.values():
        marks = branch.history.marks
        branches.append(
            {
                "branch": branch.number,
                "parent": branch.parent,
                "at": first + branch.at,
                "length": first + len(branch.history),
            }
        )
        own = range(branch.at if branch.parent is not None else 0, len(branch.history))
        for chunk in own:
            if (shown := seat.shown.get(marks[chunk + 1])) is not None:
                chunks.append(
                    {
                        "branch": branch.number,
                        "chunk_index": first + chunk,
                        "camera": shown.camera,
                        "thumbnail": shown.thumbnail,
                        "lanes": shown.lanes,
                    }
                )
    return {
        "type": "timeline",
        "event_id": seat.inbox.latest,
        "current": player.tree.current,
        "position": player.position,
        "first": first,
        "branches": branches,
        "points": [first + at for at in player.points],
        "chunks": chunks,
    }


def session_message(seat: "Seat", *, resumed: bool, max_chunks: int | None) -> dict[str, Any]:
    """Return the message that says what was opened."""
    player = seat.player
    return {
        "type": "session",
        "session_id": seat.name,
        "resumed": resumed,
        **describe(player.game),
        "memories": list(player.tree.memories),
        "max_chunks": max_chunks if max_chunks is not None else player.game.steering.most_chunks,
        "seed": player.tree.seed,
        "position": player.position,
        "first": player.first,
        "watching": seat.inbox.watching,
    }


def describe(game: Game) -> dict[str, Any]:
    """Say what is played, as far as anybody may know."""
    session, steering = game.default, game.steering
    height, width = game.size
    return {
        "model": session.model,
        "random_weights": session.random_weights,
        "fps": steering.fps,
        "width": width,
        "height": height,
        "frames_per_chunk": steering.frames_of(1),
        "available_memories": list(game.sessions),
        "default_mode": session.memory.mode,
        "keys": [key._asdict() for key in steering.keys],
        "aliases": dict(steering.aliases),
        "field_of_view": steering.field_of_view,
        "accepts": {"first_frame": steering.takes_picture, "prompt": False},
        "truth": game.knows_truth,
    }


def public_name(session: str) -> str:
    """Return a name for a session's files that does not open it."""
    return hashlib.sha256(session.encode()).hexdigest()[:24]


def check_memories(game: Game, names: Sequence[str]) -> None:
    """Check names of memories.

    Raises:
        ValueError: one that this model is not played with.
    """
    for name in names:
        if name not in game.sessions:
            raise ValueError(f"no memory {name[:20]!r}; there are {', '.join(game.sessions)}")


def camera_of(stance: Stance) -> list[float]:
    """Return where a camera stands on the map: x, z, and its heading in degrees."""
    return [round(float(stance.position[0]), 4), round(float(stance.position[2]), 4), round(float(stance.yaw), 2)]
