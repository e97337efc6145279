"""Settings that every test shares."""

from hypothesis import HealthCheck, settings

# How long examples take on a busy machine says nothing about the code.
settings.register_profile("listenctl", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("listenctl")
