"""Settings that every test shares."""

from hypothesis import settings

# A deadline per example fails on a busy machine and says nothing about the code.
settings.register_profile("listenctl", deadline=None)
settings.load_profile("listenctl")
