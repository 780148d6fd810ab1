"""A refresh for which no thread could be started left its flight behind, and every later caller waited for it."""

import threading

from resilience import cache


def test_a_refresh_that_finds_no_thread_leaves_nobody_waiting(clock, monkeypatch, caplog):
    loads = []

    @cache(10.0, stale_while_revalidate=10.0, clock=clock)
    def load(key):
        loads.append(key)
        return len(loads)

    def no_thread(self):
        raise RuntimeError("can't start new thread")

    assert load("a") == 1
    clock.advance(15.0)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        assert load("a") == 1
    assert "can't start new thread" in caplog.text
    clock.advance(10.0)
    assert load("a") == 2
