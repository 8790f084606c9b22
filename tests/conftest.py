"""What all tests share."""

from hypothesis import settings

# A machine that is busy with real processes must not fail a test for being slow: nothing here asserts a time.
settings.register_profile("pagi", deadline=None)
settings.load_profile("pagi")
