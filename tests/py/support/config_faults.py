"""Configurations with one fault each, made from a seed, and where the fault is."""

import dataclasses
import random

SEED = 20_261_121
COUNT = 240


@dataclasses.dataclass(frozen=True)
class Faulty:
    """A text, and the key and line that its error must name."""

    what: str
    suffix: str
    text: str
    key: str
    line: int


@dataclasses.dataclass(frozen=True)
class Fault:
    """A setting that is wrong, as it stands in a file."""

    what: str
    name: str
    yaml: str
    toml: str | None = None  # None: as in YAML

    def value(self, suffix):
        return self.yaml if suffix == ".yaml" or self.toml is None else self.toml


WHOLE = ("failure_threshold", "minimum_calls", "window_calls", "success_threshold", "half_open_concurrency")
DURATIONS = ("monitor_window", "recovery_timeout", "slow_call_duration", "probe_timeout")
RATES = ("failure_rate_threshold", "recovery_jitter")
GOOD = {
    "failure_threshold": "4",
    "monitor_window": '"90s"',
    "failure_rate_threshold": '"40%"',
    "success_threshold": "2",
}


def faults():
    for name in WHOLE:
        yield from (
            Fault("negative", name, "-1"),
            Fault("fraction", name, "2.5"),
            Fault("too large", name, "100000000"),
            Fault("text", name, '"many"'),
            Fault("flag", name, "true"),
            Fault("list", name, "[1, 2]"),
            Fault("table", name, "{a: 1}", "{a = 1}"),
            Fault("huge", name, "0x" + "f" * 300),
        )
    for name in DURATIONS:
        yield from (
            Fault("zero", name, "0"),
            Fault("negative", name, '"-5s"'),
            Fault("unit", name, '"5 fortnights"'),
            Fault("words", name, '"soon"'),
            Fault("too long", name, '"9000h"'),
            Fault("nan", name, ".nan", "nan"),
            Fault("infinite", name, ".inf", "inf"),
            Fault("flag", name, "false"),
            Fault("empty", name, '""'),
        )
    for name in RATES:
        yield from (
            Fault("over one", name, "1.5"),
            Fault("over a hundred", name, '"150%"'),
            Fault("negative", name, "-0.1"),
            Fault("unit", name, '"50s"'),
            Fault("list", name, "[0.5]"),
        )
    for name in ("failure_treshold", "recovery-timeout", "Monitor_Window", "x", "state"):
        yield Fault("unknown", name, "1")
    for name in ("fallback", "ignore", "failure_on", "clock"):
        yield Fault("code only", name, '"KeyError"')
    yield Fault("probes below successes", "half_open_requests", "1")
    yield Fault("rate without duration", "slow_call_rate_threshold", "0.5")


def generated():
    """`COUNT` faults in turn, each somewhere among good settings, in YAML and TOML alternately."""
    source = random.Random(SEED)
    every = list(faults())
    source.shuffle(every)
    for number in range(COUNT):
        yield _place(
            every[number % len(every)], (".yaml", ".toml")[number % 2 ^ (number // len(every)) % 2], source
        )


def _place(fault, suffix, source):
    names = source.sample(
        ["llm.*", "llm.openai", "db", "search.eu", "a-b", "with space"], source.randint(2, 5)
    )
    guilty = source.choice(names)
    lines = ["# settings of the service", *source.choice([[], ["", "# more"]])]
    if suffix == ".yaml":
        lines.append("circuit_breakers:")
    at = 0
    for name in names:
        lines.append(f'  "{name}":' if suffix == ".yaml" else f'[circuit_breakers."{name}"]')
        good = [key for key in source.sample(sorted(GOOD), source.randint(1, len(GOOD))) if key != fault.name]
        entries = [(key, GOOD[key]) for key in good]
        if name == guilty:
            entries.insert(source.randint(0, len(entries)), (fault.name, fault.value(suffix)))
        for key, value in entries:
            lines.append(f"    {key}: {value}" if suffix == ".yaml" else f"{key} = {value}  # why")
            if (name, key) == (guilty, fault.name):
                at = len(lines)
        lines.extend(source.choice([[], ["", "    # a comment"]]))
    text = "\n".join(lines) + "\n"
    return Faulty(f"{fault.what} {fault.name}", suffix, text, f"circuit_breakers.{guilty}.{fault.name}", at)
