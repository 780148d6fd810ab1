"""Tokens: who gets one, which are refused, and what the verifier's breaker does."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr, ValidationError

import auth
from auth import AUDIENCE, ISSUER, Verifier, hash_password
from resilience import BulkheadFullError, CircuitOpenError, State, get_circuit_breaker
from settings import Settings
from support.until import until

SECRET = "s" * 40


@pytest.fixture
def verifier():
    users = {"ann": SecretStr(hash_password("right"))}
    get_circuit_breaker("auth", recovery_timeout=Settings().recovery_timeout, failure_threshold=3).reset()
    return Verifier(SimpleNamespace(jwt_secret=SecretStr(SECRET), users=users, admins=frozenset({"ann"})))


def claims(**changes):
    now = datetime.now(UTC)
    good = {"sub": "ann", "iat": now, "exp": now + timedelta(minutes=5), "iss": ISSUER, "aud": AUDIENCE}
    return {name: value for name, value in (good | changes).items() if value is not None}


def signed(payload=None, headers=None, key=SECRET):
    return jwt.encode(payload or claims(), key, algorithm="HS256", headers=headers)


def unsigned(algorithm: str) -> str:
    payload = claims() | {"iat": 1, "exp": 9_999_999_999}
    parts = ({"alg": algorithm, "typ": "JWT"}, payload)
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts) + "."
    )


def rsa_public_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def confused() -> str:
    """HS256 signed with a public RSA key, by hand: PyJWT refuses to make one."""
    head, body, _ = unsigned("HS256").split(".")
    mac = hmac.new(rsa_public_key().encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}." + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def test_a_token_given_for_the_right_password_names_its_user(verifier):
    assert verifier.check_password("ann", "right")
    assert verifier.verify(verifier.issue("ann").access_token) == "ann"


@pytest.mark.parametrize(("name", "password"), [("ann", "wrong"), ("bob", "right"), ("", ""), ("ann", "")])
def test_a_wrong_name_or_password_is_refused(verifier, name, password):
    assert not verifier.check_password(name, password)


def headed(header: bytes) -> str:
    """A good token under another header."""
    return ".".join([base64.urlsafe_b64encode(header).rstrip(b"=").decode(), *signed().split(".")[1:]])


def with_payload(payload: bytes) -> str:
    """Rightly signed, whatever it says."""
    message = ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (b'{"alg":"HS256"}', payload)
    )
    mac = hmac.new(SECRET.encode(), message.encode(), hashlib.sha256).digest()
    return f"{message}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def saying(**changes: object) -> str:
    plain = {"sub": "ann", "iat": 1, "exp": 9_999_999_999, "iss": ISSUER, "aud": AUDIENCE}
    return with_payload(json.dumps(plain | changes).encode())


ODD_TOKENS = {
    "a list as header": headed(b"[]"),
    "a deep header": headed(b"[" * 2_000),
    "a deep type": headed(b'{"alg":"HS256","typ":' + b"[" * 2_000),
    "a list of algorithms": headed(b'{"alg":["HS256"]}'),
    "no algorithm": headed(b'{"alg":null}'),
    "a huge algorithm": headed(b'{"alg":' + b"9" * 2_000 + b"}"),
    "critical extensions": headed(b'{"alg":"HS256","crit":["x"]}'),
    "header no utf-8": headed(b"\xff"),
    "half a character": "\ud800.a.b",
    "only dots": "." * 4_000,
    "a deep payload": with_payload(b"[" * 1_100 + b"]" * 1_100),
    "a list as payload": with_payload(b"[]"),
    "a list as subject": saying(sub=["ann"]),
    "a table as subject": saying(sub={}),
    "an endless exp": with_payload(b'{"sub":"ann","iat":1,"exp":1e999,"iss":"i","aud":"a"}'),
    "an exp that is none": saying(exp=float("nan")),
    "an exp of text": saying(exp="tomorrow"),
    "issued tomorrow": saying(iat=99_999_999_999),
    "not before tomorrow": saying(nbf=99_999_999_999),
    "a list of issuers": saying(iss=[ISSUER]),
}


BAD_TOKENS = ODD_TOKENS | {
    "alg none": unsigned("none"),
    "alg None": unsigned("None"),
    "alg NONE": unsigned("NONE"),
    "alg nOnE": unsigned("nOnE"),
    "another algorithm": jwt.encode(claims(), SECRET * 2, algorithm="HS512"),
    "public key as secret": confused(),
    "another secret": signed(key="t" * 40),
    "kid traversal": signed(headers={"kid": "../../../dev/null"}),
    "jku": signed(headers={"jku": "https://evil.example/keys"}),
    "x5u": signed(headers={"x5u": "https://evil.example/cert"}),
    "no exp": signed(claims(exp=None)),
    "expired": signed(claims(exp=datetime.now(UTC) - timedelta(seconds=1))),
    "no sub": signed(claims(sub=None)),
    "wrong audience": signed(claims(aud="other")),
    "no audience": signed(claims(aud=None)),
    "wrong issuer": signed(claims(iss="other")),
    "unknown user": signed(claims(sub="eve")),
    "a megabyte": "x" * 1_000_000,
    "a signed megabyte": signed(claims(extra="x" * 1_000_000)),
    "rubbish": "a.b.c",
    "empty": "",
    "not ascii": "\u00e9.\u00e9.\u00e9",
}


@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_a_bad_token_is_refused(verifier, kind):
    assert verifier.verify(BAD_TOKENS[kind]) is None


def test_no_visitor_can_open_the_verifiers_breaker(verifier):
    for _ in range(5):
        for token in BAD_TOKENS.values():
            verifier.verify(token)
        verifier.check_password("ann", "wrong")
    breaker = get_circuit_breaker("auth", recovery_timeout=Settings().recovery_timeout, failure_threshold=3)
    assert (breaker.state, breaker.failure_count) == (State.CLOSED, 0)


def test_an_open_breaker_denies_good_tokens_too(verifier):
    token = verifier.issue("ann").access_token
    breaker = get_circuit_breaker("auth", recovery_timeout=Settings().recovery_timeout, failure_threshold=3)
    breaker.force_open()
    with pytest.raises(CircuitOpenError):
        verifier.verify(token)
    with pytest.raises(CircuitOpenError):
        verifier.check_password("ann", "right")
    breaker.reset()
    assert verifier.verify(token) == "ann"


async def test_a_flood_of_passwords_is_checked_a_few_at_a_time_and_the_rest_told_to_come_back(
    verifier, monkeypatch
):
    busy, most, release = 0, 0, threading.Event()
    counting = threading.Lock()

    def held(password, salt=None):
        nonlocal busy, most
        with counting:
            busy += 1
            most = max(most, busy)
        release.wait(60)
        with counting:
            busy -= 1
        return "no such hash"

    monkeypatch.setattr(auth, "hash_password", held)
    tasks = [asyncio.create_task(verifier.admits("ann", f"guess {number}")) for number in range(200)]
    at_once = 200 - auth.HASHES_AT_ONCE - auth.WAITING_HASHES
    await until(lambda: sum(task.done() for task in tasks) >= at_once)
    release.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert most == auth.HASHES_AT_ONCE
    assert sum(isinstance(result, BulkheadFullError) for result in results) >= at_once
    assert {type(result) for result in results} == {bool, BulkheadFullError}
    assert not any(result is True for result in results)
    breaker = get_circuit_breaker("auth", recovery_timeout=Settings().recovery_timeout, failure_threshold=3)
    assert (breaker.state, breaker.failure_count) == (State.CLOSED, 0)


def test_a_verifier_that_breaks_opens_its_breaker(verifier, monkeypatch):
    token = verifier.issue("ann").access_token
    monkeypatch.setattr(auth.jwt, "decode", lambda *args, **kwargs: 1 / 0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            verifier.verify(token)
    with pytest.raises(CircuitOpenError):
        verifier.verify(token)


@pytest.mark.parametrize("secret", ["short", "replace-me-with-32-random-bytes-or-more"])
@pytest.mark.parametrize("name", ["jwt_secret", "admin_token"])
def test_a_short_or_sample_secret_stops_the_start_and_is_not_shown(name, secret):
    with pytest.raises(ValidationError, match=name) as caught:
        Settings(**{name: secret})
    assert secret not in str(caught.value)


def test_secrets_do_not_show_in_the_settings_representation():
    settings = Settings(jwt_secret=SECRET, admin_token="t" * 40, OPENAI_API_KEY="k" * 40)
    assert SECRET not in repr(settings)
    assert "t" * 40 not in repr(settings)
    assert "k" * 40 not in repr(settings)


def test_an_admins_token_says_so_and_admits_only_while_its_user_is_one(verifier):
    token = verifier.issue("ann").access_token
    assert verifier.admin_of(token) == "ann"
    verifier._admins = frozenset()
    assert verifier.admin_of(token) is None
    assert verifier.verify(token) == "ann"


def test_a_role_without_being_an_admin_and_an_admin_without_the_role_are_refused(verifier):
    assert verifier.admin_of(signed(claims())) is None
    assert verifier.admin_of(signed(claims(role="admin"))) == "ann"
    verifier._users["bob"] = verifier._users["ann"]
    assert verifier.admin_of(signed(claims(sub="bob", role="admin"))) is None
