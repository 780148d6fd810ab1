"""The local upstream as a process of its own, that can be killed and brought back on the same port."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

_SCRIPT = Path(__file__).with_name("local_upstream.py")
_STOP_TIMEOUT = 5.0


class LocalUpstream:
    """Starts and stops the process; its methods block, so call them in a thread from an event loop.

    The child stops by itself when this process is gone, however it went: it watches its standard input.
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._changing = threading.Lock()
        # Bound and not listened on: nobody else is given the port while the upstream is dead, and connections to it
        # are refused. Only Linux lets the upstream bind it beside us.
        self._reserved = socket.socket() if sys.platform == "linux" else None
        self._port = 0
        if self._reserved is not None:
            self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._reserved.bind(("127.0.0.1", 0))
            self._port = self._reserved.getsockname()[1]

    @property
    def url(self) -> str:
        """Where it listens, also while it is dead."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        process = self._process  # another thread may end it
        return process is not None and process.poll() is None

    def start(self) -> None:
        """Start it, on the port it had before; returns once it listens."""
        with self._changing:
            if not self.is_alive:
                self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(_SCRIPT), "--owned", "--port", str(self._port), *self._arguments]
        # a group of its own: Ctrl-C in a terminal is for the server, which needs it until its last request is done
        process = subprocess.Popen(  # noqa: S603 - our own script
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
        )
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the local upstream ended with {process.wait()} instead of listening")
        self._port = int(json.loads(line)["port"])
        return process

    def kill(self) -> None:
        """Kill it at once, as a crash would."""
        with self._changing:
            self._end(kill=True)

    def stop(self) -> None:
        """Ask it to stop, make sure of it, and give up its port."""
        with self._changing:
            self._end(kill=False)
            if self._reserved is not None:
                self._reserved.close()

    def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill() if kill else process.terminate()
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
