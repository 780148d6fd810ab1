"""Ports for servers that have to be told which one to take."""

import socket
import sys


class ReservedPort:
    """A free port of loopback that nobody else is given, also while the server that takes it is away.

    It is bound and not listened on: connections to it are refused, and the system gives another port to whoever asks
    for any free one. A server that names this one gets it, as it does right after its own end. Only on Linux: other
    systems let nobody else bind it, so that it is merely found there.
    """

    def __init__(self) -> None:
        self._holder = socket.socket()
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind(("127.0.0.1", 0))
        self.number: int = self._holder.getsockname()[1]
        if sys.platform != "linux":
            self.close()

    def close(self) -> None:
        """Give it up."""
        self._holder.close()
