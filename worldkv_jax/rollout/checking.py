"""The check of a backbone of one's own on shapes alone, before anything runs."""

from typing import Any

import jax
import jax.numpy as jnp

from worldkv_jax.memory import Context, KVSpan, KVSpec
from worldkv_jax.rollout.backbone import AttentionProbe, Backbone, ChunkInput, CommittedSpan
from worldkv_jax.rollout.sampler import Schedule
from worldkv_jax.shape_checks import ShapeChecks, show

_METHODS = ("init_carry", "prepare_chunk", "flow", "commit", "init_decoder", "decode")
_CHUNKS = 3  # until the shapes of a carry stay: those of the first chunk may be of their own


def check_backbone(backbone: Backbone, params: Any, chunk: ChunkInput) -> None:
    """Try a backbone on shapes alone, a few chunks long, and say what is wrong with it.

    Args:
        backbone: one of your own.
        params: its parameters, or their shapes.
        chunk: what a chunk is given, or its shapes; its cameras say how many worlds there are.

    Raises:
        ValueError: everything that is wrong, method by method.
    """
    checks = ShapeChecks()
    _check_attributes(checks, backbone)
    if not checks.wrong:
        _check_methods(checks, backbone, params, chunk)
    checks.finish(f"{type(backbone).__name__} does not fit")


def _check_attributes(checks: ShapeChecks, backbone: Any) -> None:
    for name in _METHODS:
        checks.expect(callable(getattr(backbone, name, None)), f"it has no method {name}, see Backbone")
    for name, kind in (("spec", KVSpec), ("schedule", Schedule), ("latent_shape", tuple)):
        got = getattr(backbone, name, None)
        checks.expect(isinstance(got, kind), f"{name} is {got!r}, expected a {kind.__name__}")
    lag = getattr(backbone, "lag", None)
    checks.expect(lag in (0, 1), f"lag is {lag!r}, expected 0 or 1")
    try:
        hash(backbone)
    except TypeError as error:
        checks.add(f"it is not hashable, and it is part of the jit key ({error}): make it a dataclass(frozen=True)")


def _check_methods(checks: ShapeChecks, backbone: Backbone, params: Any, chunk: ChunkInput) -> None:
    spec, worlds = backbone.spec, chunk.cameras.shape[0]
    expected = (worlds, spec.chunk_frames, 4, 4)
    if chunk.cameras.shape != expected:
        checks.add(f"cameras have shape {chunk.cameras.shape}, expected {expected}: [worlds, frames of a chunk, 4, 4]")
        return
    latents = jax.ShapeDtypeStruct((worlds, *backbone.latent_shape), jnp.float32)
    rows: Any = jax.ShapeDtypeStruct(spec.shape(worlds, 2 * spec.chunk_tokens), spec.dtype)
    length: Any = jax.ShapeDtypeStruct((), jnp.int32)
    context = Context((KVSpan(rows, rows),), length)
    position, time = (jax.ShapeDtypeStruct((), dtype) for dtype in (jnp.int32, jnp.float32))

    carry, prepared = checks.call("init_carry", lambda params: backbone.init_carry(params, worlds), params), None
    for number in range(_CHUNKS):
        found = len(checks.wrong)
        prepared = checks.call("prepare_chunk", backbone.prepare_chunk, params, carry, chunk, position)
        if len(checks.wrong) > found:
            return
        if not number:
            checks.returns("flow", backbone.flow, (params, latents, time, prepared, context), latents, any_float=True)
        committed = checks.call("commit", backbone.commit, params, latents, prepared, context)
        if committed is None:
            return
        if not (isinstance(committed, tuple) and len(committed) == 2):
            checks.add(f"commit gives {show(committed)}, expected what is remembered, and the carry")
            return
        own, after = committed
        _check_own(checks, backbone, own, worlds)
        if number == _CHUNKS - 1 and not checks.same(after, carry):
            checks.add(f"the carry changes from {show(carry)} to {show(after)}, so that every chunk compiles anew")
        if len(checks.wrong) > found:
            return
        carry = after
    if isinstance(backbone, AttentionProbe):
        _check_queries(checks, backbone, (params, latents, time, prepared, context), spec, worlds)
    _check_decoder(checks, backbone, params, latents)


def _check_own(checks: ShapeChecks, backbone: Backbone, own: Any, worlds: int) -> None:
    shape = backbone.spec.shape(worlds, backbone.spec.chunk_tokens)
    if own is None and backbone.lag:
        return
    span = own.span if isinstance(own, CommittedSpan) else own
    if not isinstance(span, KVSpan) or span.keys.shape != shape or span.values.shape != shape:
        checks.add(
            f"commit remembers {show(own)}, expected a KVSpan of keys and values {list(shape)}: "
            "[layers, worlds, tokens of a chunk, heads, head dim]"
        )


def _check_queries(
    checks: ShapeChecks, backbone: AttentionProbe, given: tuple[Any, ...], spec: KVSpec, worlds: int
) -> None:
    asked = checks.call("attention_queries", backbone.attention_queries, *given)
    expected = (spec.layers, worlds, spec.heads, spec.head_dim)
    if asked is not None and getattr(asked.mean, "shape", None) != expected:
        checks.add(f"attention_queries gives the mean {show(asked.mean)}, expected {list(expected)}: [L, B, N, H]")


def _check_decoder(checks: ShapeChecks, backbone: Backbone, params: Any, latents: jax.ShapeDtypeStruct) -> None:
    worlds = latents.shape[0]
    found = len(checks.wrong)
    state = checks.call("init_decoder", lambda params: backbone.init_decoder(params, worlds), params)
    frames, before = None, state
    for _ in range(_CHUNKS):
        if len(checks.wrong) > found:
            return
        decoded = checks.call("decode", backbone.decode, params, latents, state)
        if decoded is None:
            return
        frames, before, state = decoded[0], state, decoded[1]
    shape = getattr(frames, "shape", ())
    if len(shape) != 5 or shape[0] != worlds or shape[-1] != 3:
        checks.add(f"decode gives frames {show(frames)}, expected [{worlds}, frames, height, width, 3]")
    if not checks.same(state, before):
        checks.add(f"the decoder's state changes from {show(before)} to {show(state)}: every chunk would compile anew")
