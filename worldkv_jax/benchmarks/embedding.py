"""What the memory costs in a model that knows nothing of it, over the rolling cache that such a model has by hand."""

import dataclasses
import functools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from worldkv_jax.benchmarks.timing import Effort
from worldkv_jax.memory import (
    BankConfig,
    KVSpan,
    KVSpec,
    MemoryConfig,
    RetrievalConfig,
    WorldMemory,
    attend,
    recall,
    remember,
    reset,
)

Mix = Callable[[int, jax.Array, KVSpan], jax.Array]
"""Attention of one layer: takes its number, the queries and own keys and values."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameModel:
    """A transformer that makes one frame at a time, as Genie and its kin do: grouped queries, several worlds."""

    layers: int = 3
    queries: int = 8
    heads: int = 2
    head_dim: int = 8
    tokens: int = 16
    dtype: str = "bfloat16"

    @property
    def width(self) -> int:
        """Numbers of a token."""
        return self.queries * self.head_dim

    def describe(self) -> str:
        """Tell the sizes in words."""
        return f"{self.layers} layers of width {self.width}, {self.tokens} tokens a frame"

    @property
    def spec(self) -> KVSpec:
        """Keys and values, as the memory wants to know them."""
        return KVSpec(
            layers=self.layers,
            heads=self.heads,
            head_dim=self.head_dim,
            tokens_per_frame=self.tokens,
            chunk_frames=1,
            dtype=self.dtype,
        )

    def weights(self, seed: int = 0) -> list[dict[str, jax.Array]]:
        """Draw the weights of all layers."""
        few = self.heads * self.head_dim
        sizes = {"q": self.width, "k": few, "v": few, "o": self.width}
        keys = jax.random.split(jax.random.key(seed), self.layers * len(sizes)).reshape(self.layers, -1)
        draw = lambda key, n: (jax.random.normal(key, (self.width, n)) * self.width**-0.5).astype(self.dtype)  # noqa: E731
        return [{name: draw(row[j], n) for j, (name, n) in enumerate(sizes.items())} for row in keys]

    def frame(self, params: list[dict[str, jax.Array]], x: jax.Array, mix: Mix) -> tuple[jax.Array, KVSpan]:
        """Make one frame ``[1, tokens, width]`` of one world; also return its own keys and values."""
        owns = []
        for layer, w in enumerate(params):
            q, k, v = ((x @ w[name]).reshape(*x.shape[:2], -1, self.head_dim) for name in "qkv")
            own = KVSpan(k, v)
            x = x + mix(layer, q, own).reshape(x.shape) @ w["o"]
            owns.append(own)
        return x, jax.tree.map(lambda *layers: jnp.stack(layers), *owns)


MODELS = FrameModel(), FrameModel(layers=6, head_dim=16, tokens=32)
"""Of about one and ten milliseconds a frame of eight worlds on two CPU cores: what the memory costs hardly grows."""


@functools.partial(jax.jit, static_argnames="model", donate_argnames="memories")
def with_memory(model: FrameModel, memories: WorldMemory, params: Any, x: jax.Array, done: jax.Array, views: jax.Array):
    """Make frames in one scan, each world with a memory of its own that is reset by itself.

    Args:
        model: the transformer.
        memories: one for each world, stacked.
        params: its weights.
        x: ``[steps, worlds, 1, tokens, width]``, what each frame begins from.
        done: bool ``[steps, worlds]``, worlds that begin anew before a step.
        views: ``[steps, worlds, 1, 1, 4, 4]`` cameras.

    Returns:
        The memories, and the frames with the chunks that were picked for them.
    """

    def world(memory, x, view):
        context, picks = recall(memory, view)
        out, own = model.frame(params, x, lambda layer, q, own: attend(q, own, context, layer))
        return remember(memory, own, view), (out, picks)

    def step(memories, inputs):
        x, done, view = inputs
        return jax.vmap(world)(reset(memories, done), x, view)

    return jax.lax.scan(step, memories, (x, done, views))


@functools.partial(jax.jit, static_argnames=("model", "window"))
def with_rolling_cache(model: FrameModel, params: Any, x: jax.Array, done: jax.Array, *, window: int) -> jax.Array:
    """Make frames in one scan, as such a model does by hand: shift the cache, mask what is not there yet."""

    def world(state, x):
        cache, seen = state
        valid = jnp.repeat(jnp.arange(window, 0, -1) <= seen, model.tokens)
        mask = jnp.concatenate([valid, jnp.ones(model.tokens, bool)])[None, None, None]

        def mix(layer, q, own):
            k, v = (jnp.concatenate([old[layer], new], axis=1) for old, new in zip(cache, own))
            with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # of JAX's own attention
                return jax.nn.dot_product_attention(q, k, v, mask=mask)

        out, own = model.frame(params, x, mix)
        shifted = jax.tree.map(lambda old, new: jnp.concatenate([old, new], axis=2)[:, :, model.tokens :], cache, own)
        return (shifted, seen + 1), out

    def step(state, inputs):
        x, done = inputs
        return jax.vmap(world)((state[0], jnp.where(done, 0, state[1])), x)

    worlds = x.shape[1]
    cache = jax.tree.map(lambda leaf: jnp.stack([leaf] * worlds), model.spec.zeros(1, window * model.tokens))
    return jax.lax.scan(step, (cache, jnp.zeros(worlds, jnp.int32)), (x, done))[1]


def stacked(config: MemoryConfig, model: FrameModel, *, worlds: int, steps: int) -> WorldMemory:
    """Make one memory for each world."""
    memory = WorldMemory.create(config, model.spec, chunks=steps)
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * worlds), memory)


def measure_embedding(
    model: FrameModel, *, effort: Effort, worlds: int = 8, steps: int = 32, window: int = 8
) -> Iterator[dict]:
    """Time a step of the model with its own cache and with the memory, in turn, so that a busy machine is fair.

    Yields:
        A row for each: ``model`` in words, ``cache``, the median ``step_s`` in seconds, and its ``ratio`` over the
        cache by hand.
    """
    params = model.weights()
    x = jax.random.normal(jax.random.key(1), (steps, worlds, 1, model.tokens, model.width)).astype(model.dtype)
    done, views = jnp.zeros((steps, worlds), bool), jnp.broadcast_to(jnp.eye(4), (steps, worlds, 1, 1, 4, 4))
    worldkv = MemoryConfig(
        sink_frames=1,
        recent_frames=window // 2 - 1,
        retrieval=RetrievalConfig(chunks=window // 2),
        bank=BankConfig(storage="bits"),
    )
    configs = {
        "sliding memory": MemoryConfig(mode="sliding", recent_frames=window),
        "worldkv memory": worldkv,
        "worldkv in int8": dataclasses.replace(worldkv, bank=BankConfig(storage="int8")),
    }
    starts = {name: stacked(config, model, worlds=worlds, steps=steps) for name, config in configs.items()}
    starts = {"cache by hand": None, **starts}

    def run(memories: WorldMemory | None) -> Any:
        if memories is None:
            return with_rolling_cache(model, params, x, done, window=window)
        return with_memory(model, memories, params, x, done, views)

    def time_all() -> dict[str, float]:
        seconds = {}
        for name, memories in starts.items():
            memories = jax.block_until_ready(jax.tree.map(jnp.copy, memories))  # a run consumes them
            began = time.perf_counter()
            jax.block_until_ready(run(memories))
            seconds[name] = (time.perf_counter() - began) / steps
        return seconds

    for _ in range(effort.warmup):
        time_all()
    rounds, since = [], time.perf_counter()
    while len(rounds) < effort.repeats and (not rounds or time.perf_counter() - since < effort.budget_s):
        rounds.append(time_all())
    medians = {name: statistics.median(seconds[name] for seconds in rounds) for name in starts}
    for name, median in medians.items():
        yield {
            "model": model.describe(),
            "cache": name,
            "step_s": median,
            "ratio": median / medians["cache by hand"],
        }
