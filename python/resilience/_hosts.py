"""Hosts as requests name them: what is this machine alone, and what is not."""

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str | None) -> bool:
    """Return whether a host name or address means this machine alone."""
    if host is None:
        return False
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str | None:
    """Return the name or address in a `Host` header, without its port; ``None`` for what is none."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
