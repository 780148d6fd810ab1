"""A local upstream that speaks the OpenAI and Ollama HTTP dialects, and fails on demand.

    python local_upstream.py [--port 0]

It prints `{"port": N}` once it listens. `POST /control` sets how it behaves (`upstream_faults.Behaviour`),
`GET /control` tells what arrived. A prompt list in `/v1/completions`, and an input list in the embeddings
routes, is one batch, which takes as long as its longest item.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from upstream_faults import Behaviour, Faults, Mode
from upstream_model import Completion, Pace, complete, count_tokens, embed

MODEL = "local-small"
EMBEDDING_MODEL = "local-hash-64"
MAX_TOKENS = 128
MAX_BATCH = 256

Body = dict[str, Any]
Answer = Callable[["Upstream", Body, Mode], Awaitable[Response]]


class Upstream:
    """The state behind the routes."""

    def __init__(self, pace: Pace | None = None) -> None:
        self.pace = pace or Pace()
        self.faults = Faults()
        self._ids = itertools.count(1)

    def next_id(self, kind: str) -> str:
        """Return a new answer's id."""
        return f"{kind}-{next(self._ids)}"

    async def take_time(self, completions: list[Completion], mode: Mode) -> None:
        """Wait as long as the longest of these answers takes."""
        longest = max(self.pace.until_last(completion) for completion in completions)
        await asyncio.sleep(longest * self.faults.slowdown(mode))

    async def pieces(self, completion: Completion, mode: Mode) -> AsyncIterator[str]:
        """Yield an answer word by word, at the model's pace; a disconnect comes half way."""
        slowdown = self.faults.slowdown(mode)
        await asyncio.sleep(self.pace.until_first(completion.prompt_tokens) * slowdown)
        words = completion.text.split(" ")
        for index, word in enumerate(words):
            if mode == "disconnect" and index == len(words) // 2:
                raise ConnectionResetError("told to disconnect")
            yield word if index == 0 else f" {word}"
            await asyncio.sleep(self.pace.per_token * slowdown)


def _texts(value: object, name: str) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{name} must be a string or a list of strings")
    if len(texts) > MAX_BATCH:
        raise ValueError(f"{name} must hold at most {MAX_BATCH} strings")
    return texts


def _limit(body: Body, *names: str) -> int:
    for name in names:
        if isinstance(body.get(name), int):
            return max(1, int(body[name]))
    return MAX_TOKENS


def _prompt_of(messages: object) -> str:
    if not isinstance(messages, list) or not messages:
        raise ValueError("messages must be a list that isn't empty")
    return "\n".join(str(message.get("content", "")) for message in messages)


def _usage(completions: list[Completion]) -> dict[str, int]:
    prompt = sum(completion.prompt_tokens for completion in completions)
    written = sum(completion.completion_tokens for completion in completions)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


async def _chat_completions(upstream: Upstream, body: Body, mode: Mode) -> Response:
    completion = complete(
        _prompt_of(body.get("messages")), _limit(body, "max_completion_tokens", "max_tokens")
    )
    head = {"id": upstream.next_id("chatcmpl"), "created": 0, "model": body.get("model", MODEL)}
    if body.get("stream"):
        with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        events = _chat_events(upstream, completion, mode, head, with_usage=with_usage)
        return StreamingResponse(events, media_type="text/event-stream")
    await upstream.take_time([completion], mode)
    message = {"role": "assistant", "content": completion.text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return JSONResponse(
        head | {"object": "chat.completion", "choices": [choice], "usage": _usage([completion])}
    )


async def _chat_events(
    upstream: Upstream, completion: Completion, mode: Mode, head: Body, *, with_usage: bool
) -> AsyncIterator[str]:
    head = head | {"object": "chat.completion.chunk"}

    def event(delta: Body, finish_reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return f"data: {json.dumps(head | {'choices': [choice]})}\n\n"

    yield event({"role": "assistant", "content": ""})
    async for piece in upstream.pieces(completion, mode):
        yield event({"content": piece})
    yield event({}, "stop")
    if with_usage:
        yield f"data: {json.dumps(head | {'choices': [], 'usage': _usage([completion])})}\n\n"
    yield "data: [DONE]\n\n"


async def _completions(upstream: Upstream, body: Body, mode: Mode) -> Response:
    limit = _limit(body, "max_tokens")
    completions = [complete(prompt, limit) for prompt in _texts(body.get("prompt"), "prompt")]
    await upstream.take_time(completions, mode)
    choices = [
        {"index": index, "text": completion.text, "finish_reason": "stop"}
        for index, completion in enumerate(completions)
    ]
    head = {"id": upstream.next_id("cmpl"), "object": "text_completion", "created": 0}
    return JSONResponse(
        head | {"model": body.get("model", MODEL), "choices": choices, "usage": _usage(completions)}
    )


async def _embed(upstream: Upstream, value: object, name: str, mode: Mode) -> tuple[list[list[float]], int]:
    texts = _texts(value, name)
    tokens = [count_tokens(text) for text in texts]
    await asyncio.sleep(upstream.pace.until_first(max(tokens)) * upstream.faults.slowdown(mode))
    return [embed(text) for text in texts], sum(tokens)


async def _openai_embeddings(upstream: Upstream, body: Body, mode: Mode) -> Response:
    vectors, tokens = await _embed(upstream, body.get("input"), "input", mode)
    data = [
        {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    model = body.get("model", EMBEDDING_MODEL)
    return JSONResponse({"object": "list", "data": data, "model": model, "usage": usage})


async def _ollama_answer(
    upstream: Upstream, body: Body, mode: Mode, prompt: str, wrap: Callable[[str], Body]
) -> Response:
    limit = _limit(body.get("options") or {}, "num_predict")
    completion = complete(prompt, limit)
    head = {"model": body.get("model", MODEL), "created_at": "1970-01-01T00:00:00Z"}
    counts = {"prompt_eval_count": completion.prompt_tokens, "eval_count": completion.completion_tokens}
    if body.get("stream", True):

        async def lines() -> AsyncIterator[str]:
            async for piece in upstream.pieces(completion, mode):
                yield json.dumps(head | wrap(piece) | {"done": False}) + "\n"
            yield json.dumps(head | wrap("") | {"done": True, "done_reason": "stop"} | counts) + "\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")
    await upstream.take_time([completion], mode)
    return JSONResponse(head | wrap(completion.text) | {"done": True, "done_reason": "stop"} | counts)


async def _ollama_generate(upstream: Upstream, body: Body, mode: Mode) -> Response:
    (prompt,) = _texts(str(body.get("prompt", "")), "prompt")
    return await _ollama_answer(upstream, body, mode, prompt, lambda text: {"response": text})


async def _ollama_chat(upstream: Upstream, body: Body, mode: Mode) -> Response:
    def wrap(text: str) -> Body:
        return {"message": {"role": "assistant", "content": text}}

    return await _ollama_answer(upstream, body, mode, _prompt_of(body.get("messages")), wrap)


async def _ollama_embeddings(upstream: Upstream, body: Body, mode: Mode) -> Response:
    vectors, _ = await _embed(upstream, str(body.get("prompt", "")), "prompt", mode)
    return JSONResponse({"embedding": vectors[0]})


async def _ollama_embed(upstream: Upstream, body: Body, mode: Mode) -> Response:
    vectors, tokens = await _embed(upstream, body.get("input"), "input", mode)
    model = body.get("model", EMBEDDING_MODEL)
    return JSONResponse({"model": model, "embeddings": vectors, "prompt_eval_count": tokens})


async def _models(_upstream: Upstream, _body: Body, _mode: Mode) -> Response:
    models = [
        {"id": name, "object": "model", "created": 0, "owned_by": "local"}
        for name in (MODEL, EMBEDDING_MODEL)
    ]
    return JSONResponse({"object": "list", "data": models})


async def _tags(_upstream: Upstream, _body: Body, _mode: Mode) -> Response:
    return JSONResponse({"models": [{"name": name, "model": name} for name in (MODEL, EMBEDDING_MODEL)]})


_ROUTES: dict[tuple[str, str], Answer] = {
    ("POST", "/v1/chat/completions"): _chat_completions,
    ("POST", "/v1/completions"): _completions,
    ("POST", "/v1/embeddings"): _openai_embeddings,
    ("GET", "/v1/models"): _models,
    ("POST", "/api/generate"): _ollama_generate,
    ("POST", "/api/chat"): _ollama_chat,
    ("POST", "/api/embeddings"): _ollama_embeddings,
    ("POST", "/api/embed"): _ollama_embed,
    ("GET", "/api/tags"): _tags,
}


def create_app(upstream: Upstream) -> Starlette:
    """Build the ASGI application over one upstream's state."""

    def route(method: str, path: str, answer: Answer) -> Route:
        async def endpoint(request: Request) -> Response:
            faults = upstream.faults
            faults.arrived[path] += 1
            faults.in_flight += 1
            mode = faults.draw()
            try:
                failure = await faults.before_answer(mode)
                body = await request.json() if method == "POST" else {}
                return failure or await answer(upstream, body, mode)
            except ValueError as error:
                return JSONResponse({"error": {"message": str(error)}}, status_code=400)
            finally:
                faults.in_flight -= 1

        return Route(path, endpoint, methods=[method])

    async def control(request: Request) -> Response:
        if request.method == "POST":
            try:
                upstream.faults.become(Behaviour.model_validate_json(await request.body()))
            except ValidationError as error:
                return JSONResponse({"error": json.loads(error.json(include_context=False))}, status_code=422)
        return JSONResponse(upstream.faults.journal())

    routes = [route(method, path, answer) for (method, path), answer in _ROUTES.items()]
    return Starlette(routes=[*routes, Route("/control", control, methods=["GET", "POST"])])


def main() -> None:
    """Serve on a loopback port until stopped, or until the process that started it is gone."""
    parser = argparse.ArgumentParser(description="A local upstream in the OpenAI and Ollama dialects.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--owned", action="store_true", help="stop when standard input closes")
    parser.add_argument(
        "--first-token", type=float, default=Pace.first_token, help="seconds before an answer"
    )
    parser.add_argument(
        "--per-token", type=float, default=Pace.per_token, help="seconds a token written takes"
    )
    arguments = parser.parse_args()
    pace = Pace(first_token=arguments.first_token, per_token=arguments.per_token)
    listener = socket.create_server(("127.0.0.1", arguments.port), backlog=1024)
    app = create_app(Upstream(pace))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    if arguments.owned:
        threading.Thread(target=_stop_when_orphaned, args=(server,), daemon=True).start()
    # nobody listens any more, and what uvicorn re-raises
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        os.write(sys.stdout.fileno(), json.dumps({"port": listener.getsockname()[1]}).encode() + b"\n")
        server.run(sockets=[listener])


def _stop_when_orphaned(server: uvicorn.Server) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    server.should_exit = True


if __name__ == "__main__":
    main()
