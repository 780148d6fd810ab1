"""The log of failed requests: every one is told, the same traceback once in a while."""

import logging

import httpx
import pytest
from fastapi import FastAPI

from resilience.fastapi import install
from resilience.fastapi._error_log import MAX_KINDS, ErrorLog
from resilience.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def log(clock):
    return ErrorLog(interval=10.0, clock=clock.now)


def fail(message="down"):
    raise ConnectionError(message)


def failed(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


def has_traceback(caplog):
    return [record.exc_info is not None for record in caplog.records]


def test_a_traceback_is_told_once_and_again_after_a_while(log, clock, caplog):
    for wait in (0.0, 4.0, 5.0, 1.0, 1.0):
        clock.advance(wait)
        log.tell(failed(fail))
    assert has_traceback(caplog) == [True, False, False, True, False]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 5
    assert "ConnectionError('down')" in caplog.records[1].getMessage()


def test_errors_of_other_types_or_from_other_places_are_told_in_full(log, caplog):
    for error in (failed(fail), failed(lambda: 1 / 0), failed(int, "x"), KeyError("never raised")):
        log.tell(error)
    assert has_traceback(caplog) == [True] * 4


def test_what_is_remembered_is_bounded(log):
    for number in range(2 * MAX_KINDS):
        log.tell(type(f"Error{number}", (Exception,), {})())
    assert len(log._told) == MAX_KINDS


async def test_an_endpoint_that_keeps_failing_tells_its_traceback_once_and_every_failure(caplog):
    app = FastAPI()
    install(app)

    @app.get("/fails")
    async def fails():
        fail()

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
        answers = [await http.get("/fails") for _ in range(3)]
    assert {answer.status_code for answer in answers} == {500}
    told = [record for record in caplog.records if record.name == "resilience.fastapi"]
    assert [record.exc_info is not None for record in told] == [True, False, False]
    for record, answer in zip(told, answers, strict=True):
        assert answer.headers["X-Correlation-ID"] in record.getMessage()
