"""Unit tests: no process, no server, no sleep. Property tests have no deadline, since machines may be busy,
and try the same examples in every run: `make fuzz` and the long tests look for new ones."""

from hypothesis import HealthCheck, settings

slow_is_fine = [HealthCheck.too_slow]
settings.register_profile("unit", deadline=None, max_examples=300, derandomize=True, suppress_health_check=slow_is_fine)
settings.load_profile("unit")
