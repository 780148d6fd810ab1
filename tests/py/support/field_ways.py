"""Every way of making a call under a breaker, with one face: ``await way(breaker, fn)`` runs ``fn()`` guarded."""


async def call(breaker, fn):
    async def run():
        return fn()

    return await breaker.call(run)


async def call_sync(breaker, fn):
    return breaker.call_sync(fn)


async def decorated_coroutine_function(breaker, fn):
    @breaker
    async def run():
        return fn()

    return await run()


async def decorated_function(breaker, fn):
    return breaker(fn)()


async def decorated_method(breaker, fn):
    class Service:
        @breaker
        async def run(self):
            return fn()

    return await Service().run()


async def with_block(breaker, fn):
    with breaker:
        return fn()


async def async_with_block(breaker, fn):
    async with breaker:
        return fn()


async def guard(breaker, fn):
    with breaker.guard():
        return fn()


async def async_generator(breaker, fn):
    @breaker
    async def run():
        yield fn()

    return [item async for item in run()].pop()


async def generator(breaker, fn):
    @breaker
    def run():
        yield fn()

    return list(run()).pop()


WAYS = [call, call_sync, decorated_coroutine_function, decorated_function, decorated_method, with_block,
        async_with_block, guard, async_generator, generator]  # fmt: skip
