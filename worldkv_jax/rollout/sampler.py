"""Few-step flow-matching sampling: denoise, estimate the clean latents, noise again, a little less."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


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

    @property
    def steps(self) -> int:
        """Denoising passes of a chunk."""
        return len(self.times)


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
    flow: Callable[[jax.Array, jax.Array], jax.Array], noise: Float[Array, "steps ..."], schedule: Schedule
) -> Float[Array, "..."]:
    """Turn noise into clean latents.

    Args:
        flow: predicts the flow of ``(x, t)``, with ``t`` a float32 scalar.
        noise: ``[steps, ...]``: the first is where sampling starts, the others are added between the steps.
        schedule: times and noise levels.

    Returns:
        Clean latents ``[...]``, float32.

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
    return jax.lax.scan(step, noise[0], inputs)[0]
