"""Real servers with worker processes, and an application of a test's own in them."""

import contextlib
import signal
import socket
import subprocess
import sys

from support.programs import environment

COMMANDS = {
    "uvicorn": ["uvicorn", "--workers", "{workers}", "--timeout-worker-healthcheck", "120", "--log-level", "error",
                "--fd", "{fd}"],
    "gunicorn": ["gunicorn", "--workers", "{workers}", "--timeout", "120", "--log-level", "error", "--worker-class",
                 "uvicorn_worker.UvicornWorker", "--bind", "fd://{fd}"],
}  # fmt: skip


@contextlib.contextmanager
def served(server, app, folder, *options, workers):
    """Serve the `app` of a module with this text; the address, and the process, which has ended after the block."""
    (folder / "served_app.py").write_text(app)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        fd = listening.fileno()
        words = [word.format(fd=fd, workers=workers) for word in COMMANDS[server]]
        process = subprocess.Popen(
            [sys.executable, "-m", *words, *options, "served_app:app"],
            env=environment(folder, TMPDIR=str(folder)), cwd=folder, pass_fds=[fd],
        )  # fmt: skip
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)
