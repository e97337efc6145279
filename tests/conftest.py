"""What tests share without asking for it: settings, and a certificate."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long examples take on a busy machine says nothing about the code.
settings.register_profile("listenctl", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("listenctl")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate with its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "pair.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", *subject]
    subprocess.run([*make, "-keyout", path, "-out", path.with_suffix(".crt")], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path
