"""The strict modes of JAX: implicit dtypes, ranks and transfers are errors, and so are NaN and infinity."""

import contextlib

import jax
import jax.experimental
import jax.numpy as jnp
import numpy as np
import pytest

from tests.memory.walks import SPEC, poses, span, worldkv
from worldkv_jax import memory as wm

CHUNKS = 7
CONFIGS = {
    "default": wm.DEFAULT.fitted(CHUNKS),
    "paper": wm.PAPER.fitted(CHUNKS),
    "official": wm.OFFICIAL.fitted(CHUNKS),
    "overlap": worldkv(rule="overlap", storage="float8"),
    "coverage": worldkv(rule="coverage", capacity=3, when_full="drop_most_redundant"),
    "attention": worldkv(rule="attention", capacity=4, when_full="drop_oldest"),
    "random": worldkv(rule="random"),
    "host": worldkv(tier="host"),
    "full": wm.MemoryConfig(mode="full"),
}
MODES = {
    "x64, dtypes, ranks and transfers": {
        "enable_x64": True,
        "numpy_dtype_promotion": "strict",
        "numpy_rank_promotion": "raise",
        "transfer_guard": "disallow",
    },
    "NaN and infinity": {"debug_nans": True, "debug_infs": True},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CONFIGS)
def test_both_verbs_pass(name, mode):
    memory = wm.WorldMemory.create(CONFIGS[name], SPEC, chunks=CHUNKS)
    own, views = span(0), jax.device_put(poses(CHUNKS))
    query, views = own.keys.mean(axis=2), [views[chunk] for chunk in range(CHUNKS)]
    given = {"query": query} if name == "attention" else {}
    recall, remember = (lambda memory, view: wm.recall(memory, view, **given)), (lambda *given: wm.remember(*given))
    if memory.jittable:
        recall, remember = jax.jit(recall), jax.jit(remember)
    with contextlib.ExitStack() as stack:
        for flag, value in MODES[mode].items():
            switch = getattr(jax if hasattr(jax, flag) else jax.experimental, flag)  # where the oldest jax has it
            stack.enter_context(switch(value))
        for view in views[:-1]:
            recall(memory, view)
            memory = remember(memory, own, view)
        context, _ = recall(memory, views[-1])
    assert context.length.dtype == memory.chunk.dtype == jnp.int32
    assert np.isfinite(np.asarray(context.span.keys)).all()
