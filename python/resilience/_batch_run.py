"""Running a batch function: what it may answer, and who gets what of an answer or an error."""

import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping, Set as AbstractSet
from contextlib import AsyncExitStack, aclosing
from types import CoroutineType
from typing import Any

from resilience import _core
from resilience.errors import BatchError

_log = logging.getLogger("resilience")

ProcessFunc = Callable[[list[Any]], Any]


async def run_batch(function: ProcessFunc | None, batch: _core.Batch, *, bisects: bool) -> None:
    """Settle every item of a batch, whatever the function does; `bisects` tries the halves of one that failed."""
    payloads = batch.start()
    succeeded = False
    try:
        if payloads:
            answer = await _call(function, payloads)
            if type(answer) is not list and isinstance(answer, AsyncIterable):
                await _deliver_stream(batch, answer)
            else:
                batch.resolve(_checked(answer, len(payloads)))
            succeeded = True
    except Exception as error:  # noqa: BLE001 - whatever it is, the callers get it
        if bisects and len(payloads) > 1 and not isinstance(error, _ContractError):
            await _bisect(function, batch, payloads, 0)
        else:
            batch.fail(error)
    except BaseException as error:
        _fail_by_ending(batch, error)
        raise
    finally:
        batch.end(succeeded)


async def _call(function: ProcessFunc | None, payloads: list[Any]) -> Any:
    if function is None:
        return [{"batch_processed": True, "payload": payload} for payload in payloads]
    answer = function(payloads)
    if type(answer) is CoroutineType or inspect.isawaitable(answer):
        return await answer
    return answer


async def _bisect(function: ProcessFunc | None, batch: _core.Batch, payloads: list[Any], begin: int) -> None:
    """Try the halves of a batch that failed, down to single items."""
    middle = len(payloads) // 2
    for part, at in ((payloads[:middle], begin), (payloads[middle:], begin + middle)):
        try:
            batch.resolve(_checked(await _call(function, part), len(part)), at)
        except Exception as error:  # noqa: BLE001 - as above
            if len(part) > 1 and not isinstance(error, _ContractError):
                await _bisect(function, batch, part, at)
            else:
                batch.fail(error, at, at + len(part))
        except BaseException as error:
            _fail_by_ending(batch, error)
            raise


class _ContractError(BatchError):
    """The function itself is wrong; trying it on fewer items can't help."""


def _fail_by_ending(batch: _core.Batch, error: BaseException) -> None:
    """The function was cancelled or ends the program: nobody is to wait for it, nor to take its end for his own."""
    failure = BatchError(f"the batch function raised {type(error).__name__}")
    failure.__cause__ = error
    batch.fail(failure)


def _broken(given: str, count: int) -> _ContractError:
    return _ContractError(
        f"the batch function returned {given} for {count} items; it must return a result for each"
    )


def _checked(answer: Any, count: int) -> list[Any]:
    """Return the results as a list, or raise: one result too few could hand a caller another's answer."""
    if type(answer) is list and len(answer) == count:
        return answer
    unordered = isinstance(answer, (str, bytes, bytearray, Mapping, AbstractSet))
    if unordered or not (hasattr(answer, "__len__") and hasattr(answer, "__getitem__")):
        raise _broken("None" if answer is None else f"a {type(answer).__name__}", count)
    try:
        results = list(answer)
    except TypeError as error:  # an array without dimensions
        raise _broken(f"a {type(answer).__name__} that can't be iterated", count) from error
    if len(results) != count:
        raise _broken(f"{len(results)} results", count)
    return results


async def _deliver_stream(batch: _core.Batch, answer: AsyncIterable[Any]) -> None:
    """Settle items one by one with what the function yields."""
    count = len(batch)
    done = 0
    async with AsyncExitStack() as stack:
        if isinstance(answer, AsyncGenerator):
            await stack.enter_async_context(aclosing(answer))
        async for result in answer:
            if done == count:
                _log.error("a batch function yielded more than %d results for as many items", count)
                raise _broken(f"more than {count} results", count)
            batch.resolve([result], done)
            done += 1
    if done < count:
        raise _broken(f"{done} results", count)
