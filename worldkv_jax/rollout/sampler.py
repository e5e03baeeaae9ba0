"""Few-step flow-matching sampling: denoise, estimate the clean latents, noise again, a little less."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from worldkv_jax.names import check_name

Commit = Literal["clean_pass", "last_pass"]
COMMITS: tuple[Commit, ...] = ("clean_pass", "last_pass")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """Diffusion times and noise levels of the denoising steps, computed on the host in float64.

    Three sequences and not one, because a released sampler may look its noise level up differently for each
    use (LingBot-World-Fast: truncated timesteps repeat, and each use takes another of the repeats).
    """

    times: tuple[float, ...]
    """What the model is told at each step, in the model's own units."""
    clean_sigmas: tuple[float, ...]
    """Noise level that turns the flow into clean latents: ``x0 = x - sigma * flow``."""
    noise_sigmas: tuple[float, ...]
    """Noise level that each step but the first starts from: ``(1 - sigma) * x0 + sigma * noise``."""
    commit: Commit = "clean_pass"
    """Which pass yields the keys and values that are remembered: one more over the clean latents, or the last of the
    denoising, whose latents are still noisy."""

    def __post_init__(self):
        for name in ("times", "clean_sigmas", "noise_sigmas"):  # lists and arrays are welcome, but not hashable
            object.__setattr__(self, name, tuple(float(x) for x in getattr(self, name)))
        if not self.times or len(self.clean_sigmas) != len(self.times):
            raise ValueError(
                f"a schedule needs as many clean_sigmas as times, and at least one: got {len(self.clean_sigmas)} "
                f"and {len(self.times)}"
            )
        if len(self.noise_sigmas) != len(self.times) - 1:
            raise ValueError(
                f"{len(self.times)} steps noise again {len(self.times) - 1} times, got "
                f"{len(self.noise_sigmas)} noise_sigmas"
            )
        check_name("commit", self.commit, COMMITS)

    @property
    def steps(self) -> int:
        """Denoising passes of a chunk."""
        return len(self.times)

    @property
    def passes(self) -> int:
        """All passes of a chunk, that of the commit included."""
        return self.steps + (self.commit == "clean_pass")

    def fewer_passes(self, steps: int | None = None, commit: str = "clean_pass") -> "Schedule":
        """Return a schedule of every so many of the steps, from the first on, that commits as asked.

        Args:
            steps: how many there are to be; all by default.
            commit: which pass yields what is remembered.

        Raises:
            ValueError: the steps do not divide evenly, or an unknown commit.
        """
        steps = self.steps if steps is None else steps
        if steps < 1 or self.steps % steps:
            fitting = [n for n in range(1, self.steps + 1) if self.steps % n == 0]
            raise ValueError(f"`steps` {steps}: of the {self.steps} steps of this schedule take {fitting}")
        every = self.steps // steps
        return dataclasses.replace(
            self,
            times=self.times[::every],
            clean_sigmas=self.clean_sigmas[::every],
            noise_sigmas=self.noise_sigmas[every - 1 :: every],
            commit=check_name("commit", commit, COMMITS),
        )


def shifted_schedule(steps: int, *, shift: float) -> Schedule:
    """Return ``steps`` noise levels from 1 down, spaced evenly and then shifted towards noise.

    ``sigma = shift * u / (1 + (shift - 1) * u)`` for ``u = 1, ..., 1 / steps``; times are the noise levels.

    Raises:
        ValueError: no step, or a shift that is not positive.
    """
    if steps < 1 or not shift > 0:
        raise ValueError(f"steps={steps} and shift={shift}: expected at least one step and a positive shift")
    u = np.arange(steps, 0, -1, dtype=np.float64) / steps
    sigmas = tuple(float(s) for s in shift * u / (1 + (shift - 1) * u))
    return Schedule(times=sigmas, clean_sigmas=sigmas, noise_sigmas=sigmas[1:])


def denoise(
    flow: Callable[[jax.Array, jax.Array], jax.Array],
    noise: Float[Array, "steps ..."],
    schedule: Schedule,
    *,
    last: Callable[[jax.Array, jax.Array], tuple[Any, ...]] | None = None,
) -> Any:
    """Turn noise into clean latents.

    Args:
        flow: predicts the flow of ``(x, t)``, with ``t`` a float32 scalar.
        noise: ``[steps, ...]``: the first is where sampling starts, the others are added between the steps.
        schedule: times and noise levels.
        last: predicts the flow of the last step, and returns whatever it likes after it.

    Returns:
        Clean latents ``[...]``, float32; a tuple of them and of what ``last`` returned besides, if it is given.

    Raises:
        ValueError: noise for another number of steps.
    """
    if noise.shape[0] != schedule.steps:
        raise ValueError(f"got noise for {noise.shape[0]} steps, but the schedule has {schedule.steps}")

    def step(x: jax.Array, inputs: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        t, clean_sigma, next_sigma, next_noise = inputs
        clean = x - clean_sigma * flow(x, t).astype(jnp.float32)
        return (1 - next_sigma) * clean + next_sigma * next_noise, None

    noise = noise.astype(jnp.float32)
    # The last step noises with level 0: what it hands on is the clean latents themselves.
    inputs = (
        jnp.asarray(schedule.times, jnp.float32),
        jnp.asarray(schedule.clean_sigmas, jnp.float32),
        jnp.asarray((*schedule.noise_sigmas, 0.0), jnp.float32),
        jnp.concatenate([noise[1:], jnp.zeros_like(noise[:1])]),
    )
    if last is None:
        return jax.lax.scan(step, noise[0], inputs)[0]
    x, _ = jax.lax.scan(step, noise[0], jax.tree.map(lambda a: a[:-1], inputs))
    t, clean_sigma, *_ = (a[-1] for a in inputs)
    predicted, *besides = last(x, t)
    return x - clean_sigma * predicted.astype(jnp.float32), *besides
