"""Settings of the camera tests."""

from hypothesis import settings

# A first call compiles and machines are busy: how long an example takes is no property of the code.
settings.register_profile("cameras", deadline=None)
settings.load_profile("cameras")
