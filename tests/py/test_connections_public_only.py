"""URLs of users: none of them leads into the private network."""

import asyncio

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
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "::7f00:1",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "fec0::1",
    "fd00:ec2::254",
    "2001::7f00:1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "100::1",
    "192.88.99.1",
    "168.63.129.16",
    "192.0.2.1",
    "198.18.0.1",
    "255.255.255.255",
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


SPELLINGS = [
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "017700000001",
    "0177.0.0.1",
    "0300.0250.1.1",
    "3232235777",
    "0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "127.1",
    "127.0.0.1.",
    "127\u30020\u30020\u30021",
    "[::ffff:7f00:1]",
    "[::1%25lo]",
    "8.8.8.8@127.0.0.1",
    "\u2460\u2461\u2466.0.0.1",
]


@pytest.mark.parametrize("host", SPELLINGS)
async def test_other_spellings_of_loopback_are_seen_through(network, host):
    async with httpx.AsyncClient(transport=PublicOnlyTransport(network)) as http:
        with pytest.raises((ForbiddenAddressError, httpx.InvalidURL)):
            await http.get(f"http://{host}/")
    assert network.reached == []


async def test_a_name_that_is_bound_anew_between_check_and_connection_leads_nowhere_else(network):
    answers = iter([[PUBLIC], ["127.0.0.1"], ["::1"]])

    async def resolve(_host, _port):
        return next(answers)

    transport = PublicOnlyTransport(network, resolve=resolve)
    async with httpx.AsyncClient(transport=transport) as http:
        assert (await http.get("http://rebound.example/")).status_code == 200
        for _ in range(2):
            with pytest.raises(ForbiddenAddressError):
                await http.get("http://rebound.example/")
    assert network.reached == [(PUBLIC, "rebound.example")]
    assert next(answers, None) is None, "it was looked up once a request"


async def test_no_connection_is_made_to_a_listener_of_this_machine():
    """Over real sockets: a server is there, and is never reached."""
    reached = []
    server = await asyncio.start_server(lambda reader, writer: reached.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, httpx.AsyncClient(transport=PublicOnlyTransport(), follow_redirects=True) as http:
        for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"):
            with pytest.raises(ForbiddenAddressError):
                await http.get(f"http://{host}:{port}/")
    assert reached == []


async def test_a_name_with_one_private_address_among_its_addresses_is_refused(network):
    async with client(network, {"mixed.example": [PUBLIC, "10.0.0.7"]}) as http:
        with pytest.raises(ForbiddenAddressError):
            await http.get("http://mixed.example/")
    assert network.reached == []


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.1/admin",
        "//127.0.0.1/",
        "http://inner.example/",
        "http://[::ffff:a9fe:a9fe]/",
        "file:///etc",
    ],
)
async def test_a_redirect_to_a_private_address_is_refused(network, to):
    async with client(network, {"inner.example": ["10.0.0.7"]}) as http:
        with pytest.raises(httpx.UnsupportedProtocol):
            await http.get(f"http://public.example/away?to={to}")
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
