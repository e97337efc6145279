"""A server as a service: health, readiness and metrics over HTTP."""
