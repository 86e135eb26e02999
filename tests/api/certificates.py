"""Certificates made for one test: an authority, and chains and keys of a server on loopback that it vouches for."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization


@dataclass
class Authority:
    """Vouches for what `issue` writes into `folder`; `context` trusts it and nothing else."""

    folder: Path
    authority: trustme.CA = field(default_factory=trustme.CA)

    @property
    def ca_file(self) -> str:
        path = self.folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(path))
        return str(path)

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)

    def issue(self, password: bytes | None = None) -> tuple[str, str]:
        """A new chain and key, in the same files every time."""
        made = self.authority.issue_cert("127.0.0.1", "localhost")
        cert, key = self.folder / "cert.pem", self.folder / "key.pem"
        cert.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        data = made.private_key_pem.bytes()
        if password is not None:
            loaded = serialization.load_pem_private_key(data, None)
            data = loaded.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(password),
            )
        key.write_bytes(data)
        return str(cert), str(key)
