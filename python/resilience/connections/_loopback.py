"""An HTTP endpoint on loopback that does no work, to measure what connections cost."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

from resilience.connections._optional import require

_END = b"\r\n\r\n"
_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_LAST_ANSWER = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
_LONGEST_HEAD = 65_536


class _Endpoint(asyncio.Protocol):
    """Answers each request with 204, after a delay if one is set."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # by its use: uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._received += data
        while _END in self._received:
            head, _, self._received = self._received.partition(_END)
            answer = _LAST_ANSWER if b"connection: close" in head.lower() else _ANSWER
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._send, answer)
            else:
                self._send(answer)
        if len(self._received) > _LONGEST_HEAD and self._transport is not None:
            self._transport.abort()

    def _send(self, answer: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(answer)
        if answer is _LAST_ANSWER:
            self._transport.close()


@contextlib.asynccontextmanager
async def loopback_endpoint(*, tls: ssl.SSLContext | None = None, delay: float = 0.0) -> AsyncIterator[str]:
    """Serve the endpoint on a free port of 127.0.0.1 and yield its URL.

    Args:
        tls: serve HTTPS with this context.
        delay: seconds before each answer, for the latency of a real upstream.
    """
    server = await asyncio.get_running_loop().create_server(lambda: _Endpoint(delay), "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
    finally:
        server.close()


def self_signed() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a certificate for 127.0.0.1 that lives an hour, and return the server's and the client's context.

    Raises:
        ImportError: when cryptography isn't installed.
    """
    require("cryptography", "fastapi")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:  # the ssl module reads keys from files only
        path = Path(folder) / "server.pem"
        path.touch(mode=0o600)
        path.write_bytes(private + pem)
        server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=pem.decode())
