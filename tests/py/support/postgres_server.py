"""A PostgreSQL of the tests' own, on a free port, that can be stopped, frozen and restarted."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from support.ports import ReservedPort

_FAST = "-c fsync=off -c max_connections=60 -c unix_socket_directories= -c listen_addresses=127.0.0.1"


def _binaries():
    """The folder of PostgreSQL's programs, ``None`` where there is none; Debian keeps them off PATH."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


class PostgresServer:
    """One server with a data folder of its own, run as the user ``postgres`` where the tests run as root."""

    def __init__(self, binaries):
        self._binaries = binaries
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self.dsn = f"postgresql://tester@127.0.0.1:{self.port}/postgres"
        self._user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="resilience-postgres-"))
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._run("initdb", "-D", "data", "-U", "tester", "--auth=trust", "--no-sync")
        self.start()

    def _run(self, program, *arguments):
        settings = {}
        if self._user is not None:
            settings = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        command = [str(self._binaries / program), *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},  # a sanitizer's
            **settings,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.decode()}")

    def start(self):
        self._run(
            "pg_ctl", "-D", "data", "-w", "-t", "300", "-l", "log", "-o", f"-p {self.port} {_FAST}", "start"
        )

    def stop(self):
        self._run("pg_ctl", "-D", "data", "-w", "-t", "300", "-m", "immediate", "stop")

    def _signal_all(self, number):
        leader = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
        for process in (leader, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):  # a connection's process ends when that is closed
                os.kill(process, number)

    def freeze(self):
        self._signal_all(signal.SIGSTOP)

    def thaw(self):
        self._signal_all(signal.SIGCONT)

    def close(self):
        if (self.folder / "data" / "postmaster.pid").exists():
            self.thaw()
            self.stop()
        self._reserved.close()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def postgres_server():
    """A server for the tests of one module; skipped where PostgreSQL isn't installed."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL isn't installed")
    server = PostgresServer(binaries)
    yield server
    server.close()
