"""What a server sends about itself: metrics to a StatsD daemon, traces of its calls to an OpenTelemetry collector."""
