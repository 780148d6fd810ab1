"""A transport for addresses that users supply: nothing of the private network is ever reached through it.

Server-side request forgery works by whatever resolves to an inner address: a name, a decimal number, an
IPv4 address in IPv6 clothes, a redirect, a second answer of DNS. So the host of each request, redirects included,
is resolved here, all its addresses must be public, and the connection is made to one that was checked.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable

import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# All that is given out of IPv6; what lies elsewhere stands for something.
_UNICAST = ipaddress.ip_network("2000::/3")
# What passes for public, on older interpreters at least: relays of 6to4, a cloud's own server, documentation.
_SPECIAL = tuple(map(ipaddress.ip_network, ("192.88.99.0/24", "168.63.129.16/32", "3fff::/20")))
_PORTS = {"http": 80, "https": 443}


class ForbiddenAddressError(httpx.UnsupportedProtocol):
    """A URL that a user may not send this service to."""


class PublicOnlyTransport(httpx.AsyncBaseTransport):
    """Passes on what goes to public addresses by ``http`` or ``https``, and refuses the rest.

    Args:
        transport: what speaks to the network, for example a `GuardedHttpxTransport`; one of its own by default.
        resolve: gives the addresses of a host and port; the system's resolver by default.
    """

    def __init__(
        self, transport: httpx.AsyncBaseTransport | None = None, *, resolve: Resolve | None = None
    ) -> None:
        self._transport = transport if transport is not None else httpx.AsyncHTTPTransport()
        self._resolve = resolve if resolve is not None else _resolve

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to a checked address of its host.

        Raises:
            ForbiddenAddressError: when the scheme, the host or any of its addresses isn't for users.
        """
        url = request.url
        if url.scheme not in _PORTS or not url.host:
            raise ForbiddenAddressError("only http and https URLs may be followed", request=request)
        addresses = await self._resolve(url.host, url.port or _PORTS[url.scheme])
        if not addresses or not all(is_public(address) for address in addresses):
            raise ForbiddenAddressError("this host isn't on the public internet", request=request)
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        request.url = url.copy_with(host=addresses[0])  # the header Host keeps the name
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the transport inside."""
        await self._transport.aclose()


def is_public(text: str) -> bool:
    """Return whether an address is one of the public internet, also when it carries an IPv4 address within."""
    try:
        address: Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return all(map(_is_plain, _carried(address)))


def _is_plain(address: Address) -> bool:
    """Return whether an address that stands for no other is one of the public internet."""
    if address.version == 6 and address not in _UNICAST:  # noqa: PLR2004 - a version, no quantity
        return False
    special = any(address in network for network in _SPECIAL if network.version == address.version)
    return address.is_global and not address.is_multicast and not special


def _carried(address: Address) -> list[Address]:
    """Return an address and those it stands for: mapped, translated or tunnelled."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]  # the outer one is never global in itself
    inner: list[Address] = [address]
    if address.sixtofour is not None:
        inner.append(address.sixtofour)
    if address.teredo is not None:
        inner.extend(address.teredo)
    if address in _NAT64:
        inner = [ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)]
    return inner


async def _resolve(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [str(address[0]) for *_, address in found]
