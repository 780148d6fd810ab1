"""The example's own upstream as a process that is killed and brought back."""

import subprocess
import threading

import upstream_process
from upstream_process import LocalUpstream


def test_who_starts_it_at_once_with_another_finds_it_started(monkeypatch):
    upstream, begun, others = LocalUpstream(), [], []
    begin = subprocess.Popen

    def begin_while_another_starts_it(*arguments, **settings):
        begun.append(arguments)
        if not others:
            others.append(threading.Thread(target=upstream.start))
            others[0].start()
        return begin(*arguments, **settings)

    monkeypatch.setattr(upstream_process.subprocess, "Popen", begin_while_another_starts_it)
    upstream.start()
    others[0].join()
    assert upstream.is_alive
    upstream.stop()
    assert len(begun) == 1
