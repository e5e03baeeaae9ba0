"""What a rollout needs before anything is allocated: bytes by tier, traffic and arithmetic of a chunk."""

import dataclasses
from typing import Any

from worldkv_jax.memory import MemoryConfig
from worldkv_jax.memory.layout import Layout
from worldkv_jax.memory.report import attended_tokens, capacity_by_tier, fork_bytes
from worldkv_jax.rollout.backbone import Backbone
from worldkv_jax.sessions.devices import Device
from worldkv_jax.sessions.links import sent_bytes
from worldkv_jax.sessions.saving import CHUNKS_HELD


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What a model needs besides its memory; bytes, and floating-point operations (two for a multiply-add)."""

    weights_bytes: int
    """Parameters that stay during the rollout."""
    whole_weights_bytes: int = 0
    """Of them those that each of several devices has whole: what has neither heads nor hidden units."""
    passes: int
    """Passes of a chunk that attend to the context: denoising steps and the clean pass."""
    pass_flops: float
    """Arithmetic of one of them without its self-attention scores."""
    activation_bytes: int = 0
    """Largest temporaries of one pass."""
    prepared_bytes: int = 0
    """What is computed once a chunk and kept over its passes."""
    prepared_token_bytes: int = 0
    """Of it what each token has for itself."""
    prepare_flops: float = 0.0
    carry_bytes: int = 0
    decoder_bytes: int = 0
    """State of the streaming decoder, and the temporaries of decoding."""
    decoder_state_bytes: int = 0
    """Of them the state alone, which a world carries from chunk to chunk."""
    decode_flops: float = 0.0
    encoder_bytes: int = 0
    """Encoders of prompt and image, which are loaded and released before the rollout."""
    rounding_bytes: int = 0
    """Weights while they are rounded to eight bits, where they are; several devices share them as they do weights."""
    waiting_bytes: int = 0
    """Weights that wait in host memory, besides those that stay on the device."""
    fetched_bytes: int = 0
    """What is fetched of them for one chunk, by all its passes together."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Saving:
    """What it takes to keep a rollout in a world folder, beside what each chunk is given."""

    every: int
    """Chunks from one point to the next."""
    chunk_bytes: int
    """A stored chunk on disk, which is written once."""
    point_bytes: int
    """A point on disk; of it, what an earlier point has as well, such as a sink, is written once."""
    disk_bytes: int
    """The whole rollout on disk, at most."""
    device_bytes: int
    """Copies of points, and of chunks of a bank in one array, that wait for the writer."""
    host_bytes: int
    """Buffers of the point and the chunk that are being written."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Needs of one rollout with its bank in one tier."""

    tier: str | None
    """Where the bank is; ``None`` without one."""
    device_bytes: dict[str, int]
    """What lies on the device at once at the worst moment of a chunk, by what it is."""
    moment: str
    """That moment: ``denoising`` or ``decoding``."""
    host_bytes: int
    """Stored chunks in host memory, and weights that wait there."""
    loading_bytes: int
    """What lies on the device while the session is loaded, if that is more."""
    link_bytes: int
    """Bytes between host and device for one chunk, both ways together."""
    fetched_bytes: int
    """Of them those of weights that wait in host memory."""
    chunk_flops: float
    """Arithmetic of the last chunk, of all devices together."""
    attended_tokens: int
    """Tokens that the last chunk attends to, its own included."""
    chips: int
    """Devices that heads or tokens are split over."""
    sent_bytes: int
    """What each of them sends to others for one chunk."""
    point_bytes: int
    """What a kept moment of the world takes in memory beside stored chunks of their own; and a fork, once it goes its
    own way."""
    saving: Saving

    @property
    def total_bytes(self) -> int:
        """Bytes on the device, or on each of several, at the worst moment."""
        return max(sum(self.device_bytes.values()), self.loading_bytes)

    def fits(self, device_bytes: int, host_bytes: int | None = None) -> bool:
        """Tell whether device and host have that much memory."""
        return self.total_bytes <= device_bytes and (host_bytes is None or self.host_bytes <= host_bytes)

    def to_json(self) -> dict[str, Any]:
        """Return it for a report."""
        return dataclasses.asdict(self) | {"total_bytes": self.total_bytes}

    def floor_seconds(self, device: Device) -> float:
        """Return the time of the last chunk if the device computed and moved at its data sheet's speed."""
        return max(self.chunk_flops / device.flops, self.link_bytes / device.link_bytes) / self.chips


def make_plan(
    backbone: Backbone,
    memory: MemoryConfig,
    cost: Cost,
    *,
    chunks: int,
    worlds: int = 1,
    save_every: int = 5,
    chips: int = 1,
    over: str = "heads",
) -> Plan:
    """Count what a rollout needs.

    Args:
        backbone: the model.
        memory: the memory.
        cost: what the model needs besides its memory.
        chunks: length of the rollout.
        worlds: worlds in the batch; ``cost`` is for all of them.
        save_every: chunks from one point to the next, where the world is kept in a folder.
        chips: devices, over which heads and hidden units are split: over as many of them as divide the heads.
        over: ``heads``; or ``tokens`` of a chunk, where each device has all weights, and heads of what is remembered.

    Raises:
        ValueError: a memory that does not fit the model or the length.
    """
    spec = backbone.spec
    layout = Layout(config=memory, spec=spec, worlds=worlds, chunks=chunks)
    capacity, bank = capacity_by_tier(layout), layout.bank
    chips = max(count for count in range(1, chips + 1) if spec.heads % count == 0)
    moments = _moments(layout, cost, capacity["device"], chips, over)
    moment = max(moments, key=lambda name: sum(moments[name].values()))
    link = 0 if bank is None or bank.config.on_device else bank.chunk_bytes * (1 + bank.retrieval.chunks)
    return Plan(
        tier=None if bank is None else bank.config.tier,
        device_bytes={name: size for name, size in moments[moment].items() if size},
        moment=moment,
        host_bytes=sum(size for place, size in capacity.items() if place != "device") + cost.waiting_bytes,
        loading_bytes=max(cost.encoder_bytes, cost.rounding_bytes // chips),
        link_bytes=link + cost.fetched_bytes,
        fetched_bytes=cost.fetched_bytes,
        chunk_flops=chunk_flops(layout, cost, chunks - 1),
        attended_tokens=spec.chunk_tokens + attended_tokens(layout, chunks - 1),
        chips=chips,
        sent_bytes=sent_bytes(spec, cost.passes, worlds=worlds, chips=chips, over=over),
        point_bytes=fork_bytes(layout) + cost.carry_bytes + cost.decoder_state_bytes,
        saving=_count_saving(layout, cost, chunks, save_every),
    )


def _count_saving(layout: Layout, cost: Cost, chunks: int, every: int) -> Saving:
    bank, window = layout.bank, layout.spec.bytes(layout.worlds, layout.window.tokens)
    point = window + cost.carry_bytes + cost.decoder_state_bytes
    chunk = 0 if bank is None else bank.chunk_bytes
    stored = 0 if bank is None else max(0, chunks - bank.first_stored)
    in_place = bank is not None and bank.config.tier == "device"
    return Saving(
        every=every,
        chunk_bytes=chunk,
        point_bytes=point,
        disk_bytes=-(-chunks // every) * point + stored * chunk,
        device_bytes=-(-CHUNKS_HELD // every) * point + (CHUNKS_HELD * chunk if in_place else 0),
        host_bytes=point + chunk,
    )


def _moments(layout: Layout, cost: Cost, window_bytes: int, chips: int, over: str) -> dict[str, dict[str, int]]:
    """Count what lies on the device while a chunk is denoised, and while it is decoded.

    A device runs one program after another, so what one gives back the next takes: temporaries of the two never lie
    there together, and a chunk's context is gone before it is decoded. Of several devices each has its own heads'
    weights, keys and values; activations and what conditions them are counted whole. Over tokens it is the other way
    round, but for keys and values.
    """
    spec, bank, worlds = layout.spec, layout.bank, layout.worlds
    on_device = bank is not None and bank.config.on_device
    of_heads, of_tokens = (chips, 1) if over == "heads" else (1, chips)
    always = {
        "weights": cost.whole_weights_bytes + (cost.weights_bytes - cost.whole_weights_bytes) // of_heads,
        "window and bank" if on_device else "window": window_bytes // chips,
        "carry": cost.carry_bytes,
        "decoder's state": cost.decoder_state_bytes,
    }
    if bank is not None and not on_device:
        # Those of the next chunk arrive, and the chunk ahead leaves, while this one is generated.
        always["chunks on their way"] = bank.chunk_bytes * (1 + bank.retrieval.chunks) // chips
    denoising = always | {
        "retrieved chunks": _retrieved_bytes(layout) // chips,
        # The buffer of all that one layer attends to, which each layer fills in turn.
        "context of a layer": spec.bytes(worlds, spec.chunk_tokens + layout.context_tokens) // spec.layers // chips,
        "own keys and values": spec.bytes(worlds, spec.chunk_tokens) // chips,
        "constant over a chunk": cost.prepared_bytes - cost.prepared_token_bytes * (of_tokens - 1) // of_tokens,
        "activations": cost.activation_bytes // of_tokens,
    }
    decoding = always | {"decoding": cost.decoder_bytes - cost.decoder_state_bytes}
    return {"denoising": denoising, "decoding": decoding}


def _retrieved_bytes(layout: Layout) -> int:
    """Count what is held of retrieved chunks beside window and bank: as stored, where layers can restore them."""
    bank = layout.bank
    if bank is None:
        return 0
    picks = bank.retrieval.chunks * bank.chunk_bytes
    attended = layout.spec.bytes(layout.worlds, bank.retrieval.chunks * bank.kept_tokens)
    if layout.window.far_frames:  # the released window is one with what is retrieved
        window = layout.window
        return layout.spec.bytes(
            layout.worlds, layout.context_tokens - window.sink_frames * layout.spec.tokens_per_frame
        )
    if bank.config.tier == "device" or bank.compression.at == "retrieval":
        return attended
    return 0 if bank.config.on_device else picks


def chunk_flops(layout: Layout, cost: Cost, chunk: int) -> float:
    """Count the arithmetic of chunk number ``chunk``, all passes, preparation and decoding together."""
    spec = layout.spec
    attended = spec.chunk_tokens + attended_tokens(layout, chunk)
    scores = 4 * spec.layers * layout.worlds * spec.chunk_tokens * attended * spec.heads * spec.head_dim
    return cost.passes * (cost.pass_flops + scores) + cost.prepare_flops + cost.decode_flops


def placements(backbone: Backbone, memory: MemoryConfig, cost: Cost, **sizes: Any) -> dict[str, Plan]:
    """Plan the same rollout with its bank in each tier; once for a memory without one. ``sizes`` as in `make_plan`."""
    bank = memory.bank
    if bank is None:
        return {"device": make_plan(backbone, memory, cost, **sizes)}
    return {
        tier: make_plan(
            backbone,
            dataclasses.replace(memory, bank=dataclasses.replace(bank, tier=tier)),
            cost,
            **sizes,
        )
        for tier in ("device", "pinned_host")
    }


def advise(
    backbone: Backbone,
    memory: MemoryConfig,
    cost: Cost,
    *,
    chunks: int,
    worlds: int,
    device_bytes: int,
    chips: int = 1,
) -> str:
    """Say what to change so that a rollout fits a device that is too small for it; options are named in backticks."""
    ways = [("", "", memory)]
    if memory.bank is not None and memory.bank.storage == "model":
        bank = dataclasses.replace(memory.bank, storage="int8")
        ways.append(("eight bits a number and ", "`storage` int8 ", dataclasses.replace(memory, bank=bank)))
    for words, option, changed in ways:
        for tier, plan in placements(backbone, changed, cost, chunks=chunks, worlds=worlds, chips=chips).items():
            if plan.fits(device_bytes):
                return f"it fits with {words}the bank in {tier} memory ({option}`tier` {tier})"
    floor = (
        cost.weights_bytes // chips
        + cost.activation_bytes
        + cost.prepared_bytes
        + cost.carry_bytes
        + cost.decoder_bytes
    )
    if floor > device_bytes:
        fewer = "generate fewer worlds at once, " if worlds > 1 else ""
        return (
            f"the model alone does not fit: {fewer}use bfloat16 weights or eight bits (`weights` int8), a smaller "
            "picture, no decoding (`decode=False`), or split it over several devices"
        )
    if memory.mode == "full":
        return "use `memory` worldkv, which bounds what lies on the device"
    if worlds > 1:
        return "generate fewer worlds at once"
    return "retrieve fewer chunks (`retrieve`), keep fewer of their tokens (`keep_ratio`), or shorten the window"
