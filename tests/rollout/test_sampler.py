"""The sampler against a plain loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worldkv_jax.rollout import Schedule, denoise, shifted_schedule

THREE = Schedule(times=(999.0, 978.0, 825.0), clean_sigmas=(0.9, 0.7, 0.4), noise_sigmas=(0.65, 0.33))


def field(x, t):
    return jnp.sin(3 * x) + t / 1000 * x


def plain_loop(noise: np.ndarray, schedule: Schedule) -> np.ndarray:
    x = noise[0].astype(np.float64)
    for step, (t, sigma) in enumerate(zip(schedule.times, schedule.clean_sigmas)):
        clean = x - sigma * (np.sin(3 * x) + t / 1000 * x)
        if step + 1 < schedule.steps:
            level = schedule.noise_sigmas[step]
            x = (1 - level) * clean + level * noise[step + 1]
    return clean


@pytest.mark.parametrize("schedule", [THREE, shifted_schedule(4, shift=3.0), shifted_schedule(1, shift=1.0)])
def test_denoising_is_a_plain_loop(schedule):
    noise = np.random.default_rng(0).normal(size=(schedule.steps, 2, 5)).astype(np.float32)
    got = jax.jit(lambda n: denoise(field, n, schedule))(noise)
    np.testing.assert_allclose(got, plain_loop(noise, schedule), atol=1e-5)


def test_an_exact_flow_gives_the_clean_latents():
    """Flow is noise minus clean: whatever the noise in between, sampling ends where the flow points."""
    clean = jax.random.normal(jax.random.key(0), (7,))
    schedule = shifted_schedule(4, shift=5.0)
    noise = jax.random.normal(jax.random.key(1), (4, 7))

    def exact(x, t):
        return (x - clean) / t

    np.testing.assert_allclose(denoise(exact, noise, schedule), clean, atol=1e-6)


def test_sampling_runs_in_float32_whatever_the_flow():
    noise = jnp.ones((2, 3), jnp.bfloat16)
    out = denoise(lambda x, t: x.astype(jnp.bfloat16), noise, shifted_schedule(2, shift=1.0))
    assert out.dtype == jnp.float32


def test_a_shifted_schedule_is_its_formula():
    schedule = shifted_schedule(4, shift=3.0)
    want = [3 * u / (1 + 2 * u) for u in (1, 0.75, 0.5, 0.25)]
    np.testing.assert_allclose(schedule.clean_sigmas, want)
    assert schedule.times == schedule.clean_sigmas and schedule.noise_sigmas == schedule.clean_sigmas[1:]
    assert schedule.steps == 4 and schedule.clean_sigmas[0] == 1


def test_schedules_take_lists_and_arrays_and_stay_hashable():
    made = Schedule(times=np.asarray(THREE.times), clean_sigmas=list(THREE.clean_sigmas), noise_sigmas=(0.65, 0.33))
    assert made == THREE and hash(made) == hash(THREE)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Schedule(times=(), clean_sigmas=(), noise_sigmas=()), "at least one: got 0 and 0"),
        (lambda: Schedule(times=(1,), clean_sigmas=(1, 2), noise_sigmas=()), "got 2 and 1"),
        (lambda: Schedule(times=(1, 2), clean_sigmas=(1, 2), noise_sigmas=()), "2 steps noise again 1 times, got 0"),
        (lambda: shifted_schedule(0, shift=3.0), "steps=0 .* at least one step"),
        (lambda: shifted_schedule(4, shift=0.0), r"shift=0\.0.* positive shift"),
        (lambda: denoise(field, jnp.ones((2, 3)), THREE), "noise for 2 steps, but the schedule has 3"),
    ],
)
def test_schedules_that_cannot_be_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_fewer_passes_take_every_so_many_steps_with_their_levels():
    four = Schedule(times=(9, 7, 5, 3), clean_sigmas=(0.9, 0.7, 0.5, 0.3), noise_sigmas=(0.71, 0.51, 0.31))
    two = four.fewer_passes(2, "last_pass")
    assert (two.times, two.clean_sigmas, two.noise_sigmas) == ((9, 5), (0.9, 0.5), (0.51,))
    assert (four.passes, two.passes, four.fewer_passes(1).passes) == (5, 2, 2)
    assert four.fewer_passes() == four and four.fewer_passes(1).noise_sigmas == ()
    with pytest.raises(ValueError, match=r"`steps` 3: of the 4 steps of this schedule take \[1, 2, 4\]"):
        four.fewer_passes(3)
    with pytest.raises(ValueError, match="last_pas"):
        four.fewer_passes(2, "last_pas")


@pytest.mark.parametrize("schedule", [THREE, shifted_schedule(1, shift=1.0)])
def test_the_last_pass_can_give_more_than_its_flow(schedule):
    noise = np.random.default_rng(1).normal(size=(schedule.steps, 2, 5)).astype(np.float32)
    got, seen = denoise(field, noise, schedule, last=lambda x, t: (field(x, t), (x, t)))
    np.testing.assert_allclose(got, plain_loop(noise, schedule), atol=1e-5)
    assert seen[1] == schedule.times[-1]
    np.testing.assert_allclose(got, seen[0] - schedule.clean_sigmas[-1] * field(*seen), atol=1e-6)
