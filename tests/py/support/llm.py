"""Providers of the tests' own: clients that do what they are told, in the dialect of chat completions."""

import asyncio

from resilience.providers import Provider


def answer(text="fine", *, usage=(3, 2)):
    """The JSON of a whole answer."""
    body = {
        "model": "served",
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
    }
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return body


def chunk(text="", *, reason=None, usage=None):
    """The JSON of one event of a stream."""
    event = {"model": "served", "choices": [{"delta": {"content": text}, "finish_reason": reason}]}
    if usage is not None:
        event["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return event


class Scripted:
    """Does one thing a call: an exception is raised, an event waited for, anything else is the answer.

    The last thing is done again for all later calls. A list is a stream, whose items are treated likewise.
    """

    def __init__(self, *script):
        self._script = list(script) or [answer()]
        self.payloads = []
        self.cancelled = 0
        self.closed = False

    @property
    def calls(self):
        return len(self.payloads)

    async def chat(self, payload):
        return await self._do(self._next(payload))

    async def embed(self, payload):
        return await self._do(self._next(payload))

    async def stream(self, payload):
        for each in self._next(payload):
            done = await self._do(each)
            if done is not None:
                yield done

    async def aclose(self):
        self.closed = True

    def _next(self, payload):
        self.payloads.append(payload)
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    async def _do(self, thing):
        if isinstance(thing, BaseException):
            raise thing
        if isinstance(thing, asyncio.Event):
            try:
                await thing.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            return None
        return thing


def provider(name, *script, **settings):
    """A provider with a scripted client."""
    client = Scripted(*script)
    return Provider(kind="custom", name=name, model="a-model", client=client, **settings), client
