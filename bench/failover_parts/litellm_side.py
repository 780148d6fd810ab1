"""litellm's Router on the failover benchmark's faults; runs in an environment of its own.

Three set-ups: ``fallbacks`` between groups with its defaults; the same with our breaker's settings, two failures
and 60 s; and with these one group in order, in which its retries go on to the next deployment. The SDK's own
retries are off in all.
"""

import asyncio
import json
import sys

from litellm import Router
from load import TIMEOUT, Ask, Providers, run

MESSAGES = [{"role": "user", "content": "hello"}]


def deployment(group: str, url: str, **more: int) -> dict[str, object]:
    params = {
        "model": "openai/m",
        "api_base": url,
        "api_key": "k",
        "timeout": TIMEOUT,
        "max_retries": 0,
        **more,
    }
    return {"model_name": group, "litellm_params": params}


def by_defaults(urls: list[str]) -> Router:
    groups = [deployment(f"g{number}", url) for number, url in enumerate(urls)]
    return Router(model_list=groups, fallbacks=[{"g0": [f"g{number}" for number in range(1, len(urls))]}])


def by_fallbacks(urls: list[str]) -> Router:
    groups = [deployment(f"g{number}", url) for number, url in enumerate(urls)]
    return Router(
        model_list=groups,
        fallbacks=[{"g0": [f"g{number}" for number in range(1, len(urls))]}],
        num_retries=0,
        allowed_fails=1,
        cooldown_time=60,
        timeout=TIMEOUT,
    )


def by_order(urls: list[str]) -> Router:
    group = [deployment("g0", url, order=number + 1) for number, url in enumerate(urls)]
    return Router(
        model_list=group,
        num_retries=2,
        retry_after=0,
        allowed_fails=1,
        cooldown_time=60,
        timeout=TIMEOUT,
        enable_pre_call_checks=True,
    )


def asking(router: Router) -> Ask:
    async def ask() -> str:
        answer = await router.acompletion(model="g0", messages=MESSAGES)
        return str(answer.choices[0].message.content)

    return ask


async def main(fault: str, way: str) -> None:
    make = {"defaults": by_defaults, "fallbacks": by_fallbacks, "order": by_order}[way]
    providers = Providers()
    try:
        ask, own = asking(make(providers.urls)), asking(make([providers.urls[1], providers.urls[2]]))
        print(json.dumps(await run(providers, ask, own, fault)))
    finally:
        providers.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
