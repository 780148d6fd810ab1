"""Guarded generators that count, and what a breaker has counted of them."""


def totals(breaker):
    counts = breaker.get_stats()["totals"]
    return {key: counts[key] for key in ("successes", "failures", "ignored", "cancelled") if counts[key]}


def counting(breaker, fails_at=None, error=OSError):
    @breaker
    async def count(limit):
        for number in range(limit):
            if number == fails_at:
                raise error("broken")
            yield number

    return count


def counting_plainly(breaker, fails_at=None, error=OSError):
    @breaker
    def count(limit):
        for number in range(limit):
            if number == fails_at:
                raise error("broken")
            yield number

    return count
