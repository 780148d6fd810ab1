"""A predicate that failed hid the error that it was to judge."""

import pytest

from resilience import fallback, retry


def judge(error):
    raise LookupError("no rule for it")


async def fail():
    raise ValueError("the call's own")


@pytest.mark.parametrize("policy", [retry(on=judge), fallback(1, on=judge)])
async def test_the_error_of_the_call_is_the_context_of_the_predicates(policy):
    with pytest.raises(LookupError) as caught:
        await policy.call(fail)
    assert isinstance(caught.value.__context__, ValueError)
    with pytest.raises(LookupError) as caught:
        policy.call_sync(lambda: 1 / 0)
    assert isinstance(caught.value.__context__, ZeroDivisionError)
