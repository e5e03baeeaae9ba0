"""Worlds as named arrays, and back: what is written of a world, and how it is put together again."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import KeyPath

from worldkv_jax.memory import Context, KVSpan
from worldkv_jax.memory.layout import BankLayout
from worldkv_jax.rollout import Backbone, ChunkInput, World
from worldkv_jax.rollout.stream import place_like
from worldkv_jax.sessions.array_store import ArrayRef

Read = Callable[[ArrayRef], np.ndarray]


def named(tree: Any) -> dict[str, Any]:
    """Name the leaves of a pytree by their paths."""
    return {_name(path): leaf for path, leaf in jax.tree.leaves_with_path(tree)}


def state_of(world: World) -> dict[str, Any]:
    """Name what a step consumes: all of a world but its stored chunks."""
    return named(_parts(world, world.carry, world.decoder))


def restore(
    backbone: Backbone,
    params: Any,
    fresh: World,
    state: Mapping[str, ArrayRef],
    chunks: Mapping[int, Sequence[Mapping[str, ArrayRef]]],
    read: Read,
    *,
    example: Callable[[], ChunkInput],
    decode: bool,
    elsewhere: jax.sharding.Sharding | None = None,
) -> World:
    """Put a world together again.

    Args:
        backbone: the model.
        params: its parameters.
        fresh: a world that remembers nothing yet, whose sizes and places it takes; it is consumed.
        state: what `state_of` named.
        chunks: by slot the named arrays of the stored chunk, of each world.
        read: reads an array.
        example: what a chunk is given, for models whose carry only takes its shape with the first one.
        decode: whether frames are wanted; without, the decoder's state is left out.
        elsewhere: where arrays go that a fresh world does not have; by default to the device of the parameters.

    Raises:
        ValueError: arrays that do not fit; names all that do not. Or frames are wanted of a world that was made
            without: its video could only begin anew.
    """
    names = state.keys()
    wanted = _below("carry", names)
    carry = _grown(fresh.carry, wanted, lambda carry: _next_carry(backbone, params, fresh, carry, example))
    decoder, worlds = None, fresh.memory.layout.worlds
    if not decode:
        state = {name: ref for name, ref in state.items() if not name.startswith("decoder")}
    elif wanted := _below("decoder", names):
        first = _first_decoder(backbone, params, worlds)
        decoder = _grown(first, wanted, lambda state: decoded_shapes(backbone, params, worlds, state)[1])
    elif int(read(state["position"])) and jax.tree.leaves(decoded_shapes(backbone, params, worlds, None)[1]):
        raise ValueError(
            "the world was made without frames, so that its video cannot go on: open the model without them "
            "(decode=False, --no-decode), or make the world again"
        )
    like = _parts(fresh, carry, decoder)
    index = like["index"]
    if index is not None and "index/chunks" in state:
        rows = state["index/chunks"].shape[0]  # fewer where the rollout was meant to be shorter
        like["index"] = jax.tree.map(lambda leaf: leaf[:rows], index)
    _check_shapes(like, state)
    elsewhere = place_like(params, jnp.int32(0)).sharding if elsewhere is None else elsewhere

    def load(path: KeyPath[Any], leaf: Any) -> jax.Array:
        array = read(state[_name(path)])
        return jax.device_put(array, leaf.sharding if isinstance(leaf, jax.Array) else elsewhere)

    loaded = jax.tree.map_with_path(load, like)
    memory = fresh.memory.replace(window=loaded["window"], chunk=loaded["chunk"])
    if memory.bank is not None:
        spans = {slot: _spans(memory.bank.layout, slot, refs, read) for slot, refs in chunks.items()}
        index = jax.tree.map(_write_first_rows, index, loaded["index"])
        bank = memory.bank.filled(index, spans, memory.window, int(memory.chunk))
        memory = memory.replace(bank=bank)
    return World(memory, loaded["carry"], loaded["position"], loaded["decoder"])


def input_of(like: ChunkInput, given: Mapping[str, ArrayRef], read: Read, *, chunk: int) -> ChunkInput:
    """Put together what a chunk was given.

    Args:
        like: what any chunk of the model is given.
        given: its arrays by their paths.
        read: reads an array.
        chunk: its number, for errors.

    Raises:
        ValueError: something else than this model is given.
    """
    if (names := named(like).keys()) != given.keys():
        raise ValueError(
            f"chunk {chunk} was given {', '.join(given)}, and this session gives {', '.join(names)}: open it with the "
            "options that the world was made with"
        )

    def load(path: KeyPath[Any], leaf: Any) -> jax.Array:
        array = read(given[_name(path)])
        # As bound to a device as what the session itself gives: else the step would be compiled again.
        bound = isinstance(leaf, jax.Array) and leaf.committed
        return jax.device_put(array, leaf.sharding) if bound else jnp.asarray(array)

    return jax.tree.map_with_path(load, like)


def decoded_shapes(backbone: Backbone, params: Any, worlds: int, decoder: Any) -> tuple[Any, Any]:
    """Describe the frames of a chunk and the decoder's state after it; ``None`` stands for that before the first."""
    latents = jax.ShapeDtypeStruct((worlds, *backbone.latent_shape), jnp.float32)
    if decoder is None:
        decoder = _first_decoder(backbone, params, worlds)
    return jax.eval_shape(backbone.decode, params, latents, decoder)


def frames_of_chunks(backbone: Backbone, params: Any, worlds: int) -> tuple[int, int]:
    """Count the frames of a world's first chunk, which may have fewer, and of each later one."""
    first, decoder = decoded_shapes(backbone, params, worlds, None)
    later, _ = decoded_shapes(backbone, params, worlds, decoder)
    return first.shape[1], later.shape[1]


def _first_decoder(backbone: Backbone, params: Any, worlds: int) -> Any:
    return jax.eval_shape(lambda params: backbone.init_decoder(params, worlds), params)


def _name(path: KeyPath[Any]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _parts(world: World, carry: Any, decoder: Any) -> dict[str, Any]:
    memory = world.memory
    return {
        "window": memory.window,
        "index": None if memory.bank is None else memory.bank.index,
        "chunk": memory.chunk,
        "position": world.position,
        "carry": carry,
        "decoder": decoder,
    }


def _write_first_rows(whole: jax.Array, part: jax.Array) -> jax.Array:
    """Write the first rows of an array."""
    return jax.device_put(whole.at[: len(part)].set(part), whole.sharding)


def _below(part: str, names: Iterable[str]) -> set[str]:
    return {name for name in names if name == part or name.startswith(part + "/")}


def _grown(first: Any, wanted: set[str], step: Callable[[Any], Any]) -> Any:
    """Find the state whose arrays have these names: the first one, or what it becomes after a chunk or two."""
    part = next(iter(wanted)).split("/")[0] if wanted else "carry"
    for _ in range(3):
        if named({part: first}).keys() == wanted:
            return first
        first = step(first)
    return first  # whose names do not fit: the caller says which


def _next_carry(backbone: Backbone, params: Any, fresh: World, carry: Any, example: Callable[[], ChunkInput]) -> Any:
    layout = fresh.memory.layout

    def step(params: Any, carry: Any, chunk: ChunkInput) -> Any:
        prepared = backbone.prepare_chunk(params, carry, chunk, jnp.int32(1))
        context = Context((layout.spec.zeros(layout.worlds, layout.context_tokens),), jnp.int32(0))
        latents = jnp.zeros((layout.worlds, *backbone.latent_shape))
        return backbone.commit(params, latents, prepared, context)[1]

    return jax.eval_shape(step, params, carry, example())


def _check_shapes(like: Any, state: Mapping[str, ArrayRef]) -> None:
    here = {name: (leaf.dtype.name, tuple(leaf.shape)) for name, leaf in named(like).items()}
    there = {name: (ref.dtype, ref.shape) for name, ref in state.items()}
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    if names:
        lines = [f"  {name}: {_describe(there.get(name))} there, {_describe(here.get(name))} here" for name in names]
        raise ValueError("the world does not fit this session:\n" + "\n".join(lines))


def _describe(leaf: tuple[str, tuple[int, ...]] | None) -> str:
    return "nothing" if leaf is None else f"{leaf[0]} {leaf[1]}"


def _spans(layout: BankLayout, slot: int, worlds: Sequence[Mapping[str, ArrayRef]], read: Read) -> tuple[KVSpan, ...]:
    like = layout.stored_chunk
    for refs in worlds:
        _check_shapes(like, refs)
    if len(worlds) != layout.worlds:
        raise ValueError(f"slot {slot} has chunks of {len(worlds)} worlds, expected {layout.worlds}")
    return tuple(
        jax.tree.map_with_path(lambda path, _: read(refs[_name(path)]), like)  # noqa: B023
        for refs in worlds
    )
