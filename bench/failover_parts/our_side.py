"""This library's router on the failover benchmark's faults."""

import asyncio
import json
import sys

from load import TIMEOUT, Ask, Providers, run

from resilience.providers import LLMRouter, Provider


def router_of(urls: list[str], kind: str) -> LLMRouter:
    return LLMRouter(
        [
            Provider(
                kind=kind,
                name=f"p{number}",
                model="m",
                api_key="k",
                base_url=url,
                timeout=TIMEOUT,
                priority=number,
            )
            for number, url in enumerate(urls)
        ]
    )


def asking(router: LLMRouter) -> Ask:
    async def ask() -> str:
        return (await router.complete("hello")).text

    return ask


async def main(fault: str, kind: str) -> None:
    providers = Providers()
    try:
        async with router_of(providers.urls, kind) as whole, router_of(providers.urls[1:], kind) as rest:
            print(json.dumps(await run(providers, asking(whole), asking(rest), fault)))
    finally:
        providers.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
