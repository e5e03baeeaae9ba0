"""The sampler's table as the specification gives it, and what is refused."""

import numpy as np
import pytest

from ports.lingbot_world.schedule import lingbot_schedule, noise_levels, timesteps


def test_the_table_of_the_released_model():
    schedule = lingbot_schedule()
    assert schedule.times == (999, 978, 947, 825)
    np.testing.assert_allclose(schedule.clean_sigmas, [0.999899924, 0.978971004, 0.947908878, 0.825852573], atol=5e-10)
    np.testing.assert_allclose(schedule.noise_sigmas, [0.978829563, 0.947693050, 0.825192571], atol=5e-10)


@pytest.mark.parametrize("shift", [1.0, 3.0, 10.0])
def test_levels_fall_and_times_repeat(shift):
    levels, times = noise_levels(shift), timesteps(shift)
    assert levels.dtype == np.float32 and levels.shape == (1001,) and levels[-1] == 0
    assert (np.diff(levels) < 0).all() and (np.diff(times) <= 0).all()
    if shift == 10.0:
        assert len(np.unique(times)) == 480


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"shift": 0.0}, "shift=0.0 must be positive"),
        ({"shift": float("nan")}, "must be positive"),
        ({"indices": ()}, "must increase"),
        ({"indices": (0, 0)}, "must increase"),
        ({"indices": (5, 3)}, "must increase"),
        ({"indices": (0, 1000)}, "lie in 0 to 999"),
    ],
)
def test_schedules_that_cannot_be(options, says):
    with pytest.raises(ValueError, match=says):
        lingbot_schedule(**options)
