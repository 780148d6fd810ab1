"""URLs of users: none of them leads into the private network."""

import httpx
import pytest

from resilience.connections.public_only import ForbiddenAddressError, PublicOnlyTransport, is_public

PUBLIC = "93.184.215.14"


class Network(httpx.AsyncBaseTransport):
    """Notes where requests go; the path /away redirects to what its query names."""

    def __init__(self):
        self.reached = []

    async def handle_async_request(self, request):
        self.reached.append((request.url.host, request.headers["host"]))
        if request.url.path == "/away":
            return httpx.Response(302, headers={"Location": request.url.params["to"]})
        return httpx.Response(200)


@pytest.fixture
def network():
    return Network()


def client(network, names=None):
    names = {"public.example": [PUBLIC], **(names or {})}

    async def resolve(host, _port):
        return names.get(host) or [host]

    transport = PublicOnlyTransport(network, resolve=resolve)
    return httpx.AsyncClient(transport=transport, follow_redirects=True)


FORBIDDEN = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",  # noqa: S104 - not to bind to
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "240.0.0.1",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "not an address",
    "",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_an_address_of_the_private_network_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", [PUBLIC, "::ffff:5db8:d70e", "2606:4700::6810:84e5", "64:ff9b::5db8:d70e"]
)
def test_an_address_of_the_internet_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest", "http://[::1]/", "http://[::ffff:10.0.0.1]/"]
)
async def test_a_private_address_is_never_reached(network, url):
    async with client(network) as http:
        with pytest.raises(ForbiddenAddressError):
            await http.get(url)
    assert network.reached == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "localhost", "127.1"])
async def test_other_spellings_of_loopback_are_seen_through(network, host):
    async with httpx.AsyncClient(transport=PublicOnlyTransport(network)) as http:
        with pytest.raises(ForbiddenAddressError):
            await http.get(f"http://{host}/")
    assert network.reached == []


async def test_a_name_with_one_private_address_among_its_addresses_is_refused(network):
    async with client(network, {"mixed.example": [PUBLIC, "10.0.0.7"]}) as http:
        with pytest.raises(ForbiddenAddressError):
            await http.get("http://mixed.example/")
    assert network.reached == []


async def test_a_redirect_to_a_private_address_is_refused(network):
    async with client(network) as http:
        with pytest.raises(ForbiddenAddressError):
            await http.get("http://public.example/away?to=http://127.0.0.1/admin")
    assert network.reached == [(PUBLIC, "public.example")]


async def test_the_connection_is_made_to_the_address_that_was_checked(network):
    async with client(network) as http:
        assert (await http.get("https://public.example/")).status_code == 200
    assert network.reached == [(PUBLIC, "public.example")]


@pytest.mark.parametrize("url", ["ftp://public.example/", "file:///etc/passwd"])
async def test_other_schemes_are_refused(network, url):
    async with client(network) as http:
        with pytest.raises(httpx.UnsupportedProtocol):
            await http.get(url)
    assert network.reached == []
