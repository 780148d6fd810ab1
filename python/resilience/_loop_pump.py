"""Native results for event loops that can't watch a file descriptor, such as Windows' proactor loop."""

import asyncio
import atexit
import threading
from typing import Protocol

_LOOK_UP = 0.5  # seconds between two looks at whether a silent loop was closed


class Doorbell(Protocol):
    """What a loop is to call when results have arrived (`resilience._core`)."""

    def __call__(self) -> None:
        """Run the handlers of everything that has arrived; on the loop's thread."""

    def wait(self, timeout: float, /) -> bool:
        """Block for at most `timeout` seconds; True when results have arrived."""

    def ended(self) -> bool:
        """Whether the bridge has ended."""

    def end(self) -> None:
        """Note that the loop is closed."""


def start(loop: asyncio.AbstractEventLoop, doorbell: Doorbell) -> None:
    """Ring `doorbell` on `loop` from a thread of its own until the loop closes or the interpreter exits."""
    answered = threading.Event()

    def stop() -> None:
        doorbell.end()
        answered.set()
        pump.join()

    def run_until_exit() -> None:
        _pump(loop, doorbell, answered)
        atexit.unregister(stop)

    pump = threading.Thread(target=run_until_exit, name="resilience-pump", daemon=True)
    atexit.register(stop)
    pump.start()


def _pump(loop: asyncio.AbstractEventLoop, doorbell: Doorbell, answered: threading.Event) -> None:
    def answer() -> None:
        answered.set()
        doorbell()

    while not doorbell.ended():
        if loop.is_closed():
            doorbell.end()
        elif doorbell.wait(_LOOK_UP):
            answered.clear()
            try:
                loop.call_soon_threadsafe(answer)
            except RuntimeError:  # closed since
                continue
            while not (answered.wait(_LOOK_UP) or loop.is_closed() or doorbell.ended()):
                pass
