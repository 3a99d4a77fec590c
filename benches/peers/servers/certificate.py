"""A certificate for localhost, made for one run."""

import subprocess

from clients.link import trusting


class Certificate:
    def __init__(self, directory):
        self.chain = directory / "certificate.pem"
        self.key = directory / "key.pem"
        self.both = directory / "both.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
            + ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,DNS:rooms.localhost,IP:127.0.0.1"]
            + ["-keyout", self.key, "-out", self.chain],
            check=True,
            capture_output=True,
        )
        self.both.write_bytes(self.key.read_bytes() + self.chain.read_bytes())
        self.context = trusting(self.chain)
