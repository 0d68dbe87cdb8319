"""Unit tests: no process, no server, no sleep. Property tests have no deadline, since machines may be busy."""

from hypothesis import HealthCheck, settings

settings.register_profile("unit", deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")
