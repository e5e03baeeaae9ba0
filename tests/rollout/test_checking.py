"""A backbone of one's own is tried on shapes alone, and all that is wrong with it is said."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from tests.rollout.tiny_backbone import FRAMES, TinyBackbone
from worldkv_jax.memory import KVSpan
from worldkv_jax.rollout import ChunkInput, CommittedSpan, check_backbone

CHUNK = ChunkInput(jnp.zeros((2, FRAMES, 4, 4)))


class Late(TinyBackbone):
    """Knows its keys and values one chunk late."""

    lag = 1

    def init_carry(self, params, worlds):
        return None

    def prepare_chunk(self, params, carry, chunk, position):
        prepared = super().prepare_chunk(params, jnp.zeros(chunk.cameras.shape[0]), chunk, position)
        return prepared._replace(carry=(carry, chunk.cameras))

    def commit(self, params, x0, prepared, context):
        carry, cameras = prepared.carry
        own, _ = super().commit(params, x0, prepared._replace(carry=jnp.zeros(2)), context)
        return None if carry is None else CommittedSpan(*carry), (own, cameras)


@pytest.mark.parametrize("backbone", [TinyBackbone(), Late()])
def test_backbones_that_work_pass(backbone):
    params = jax.eval_shape(backbone.init_params)
    check_backbone(backbone, params, CHUNK)


class NoFrameAxis(TinyBackbone):
    def flow(self, params, x, t, prepared, context):
        return super().flow(params, x, t, prepared, context)[:, 0]


class ShortKeys(TinyBackbone):
    def commit(self, params, x0, prepared, context):
        own, carry = super().commit(params, x0, prepared, context)
        return KVSpan(own.keys[:, :, 1:], own.values), carry


class GrowingCarry(TinyBackbone):
    def commit(self, params, x0, prepared, context):
        own, carry = super().commit(params, x0, prepared, context)
        return own, jnp.concatenate([carry, carry[-1:]])

    def prepare_chunk(self, params, carry, chunk, position):
        return super().prepare_chunk(params, carry, chunk, position)


class NoBatch(TinyBackbone):
    def decode(self, params, latents, decoder):
        frames, state = super().decode(params, latents, decoder)
        return frames[0], state


class Raises(TinyBackbone):
    def prepare_chunk(self, params, carry, chunk, position):
        return chunk.conditions["prompt"]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (NoFrameAxis, r"flow\(.*gives float32\[2, 4, 5\], expected float32\[2, 3, 4, 5\]"),
        (ShortKeys, r"commit remembers KVSpan\(keys=float32\[2, 2, 11, 2, 8\].*expected a KVSpan .*\[2, 2, 12, 2, 8\]"),
        (GrowingCarry, r"the carry changes from float32\[4\] to float32\[5\]"),
        (NoBatch, r"decode gives frames float32\[3, 2, 2, 3\], expected \[2, frames, height, width, 3\]"),
        (Raises, "prepare_chunk.* raises TypeError: 'NoneType'"),
    ],
)
def test_a_wrong_backbone_is_told_what_is_wrong(kind, says):
    with pytest.raises(ValueError, match=rf"{kind.__name__} does not fit:\n(.*\n)*.*{says}"):
        check_backbone(kind(), TinyBackbone().init_params(), CHUNK)


def test_attributes_are_checked_all_at_once():
    @dataclasses.dataclass
    class Half:
        lag: int = 2
        spec: str = "spec"

    with pytest.raises(ValueError) as error:
        check_backbone(Half(), {}, CHUNK)
    for part in ("no method flow", "spec is 'spec', expected a KVSpec", "lag is 2", "latent_shape", "not hashable"):
        assert part in str(error.value)
