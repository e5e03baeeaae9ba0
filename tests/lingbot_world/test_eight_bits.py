"""A rollout of LingBot-World with weights in eight bits, against the same in float32."""

import numpy as np
import pytest

from ports.lingbot_world import LingBotOptions

ERROR = {"int8": 0.02, "fp8": 0.06}
"""Largest error of latents, relative to their size."""


@pytest.fixture(scope="module")
def roll():
    """Latents of three chunks, of tiny weights."""

    def roll(weights):
        options = LingBotOptions(tiny=True, resolution=(32, 48), frames=33, weights=weights)
        session = options.check(decode=False).load()
        return np.stack([chunk.latents for chunk in session.stream(session.start(), seed=0)])

    return roll


def test_latents_stay_close_and_do_not_drift_apart(roll):
    exact = roll(None)
    for kind, most in ERROR.items():
        error = np.linalg.norm((roll(kind) - exact).reshape(len(exact), -1), axis=1)
        error /= np.linalg.norm(exact.reshape(len(exact), -1), axis=1)
        print(kind, error)
        assert (most / 4 < error).all() and (error < most).all()
