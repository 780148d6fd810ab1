"""Threads whose loops used one cache for the first time at once disturbed each other's look for closed loops."""

import asyncio
import sys
import threading
import weakref

from resilience import cache


@cache
async def load(key):
    return key


def load_in_a_thread(answers, key):
    thread = threading.Thread(target=lambda: answers.append(asyncio.run(load(key))))
    thread.start()
    thread.join()


def test_a_loop_may_begin_while_another_goes_through_those_there_are():
    answers = []

    def begin_another_between_two_loops(frame, event, _argument):
        if frame.f_code.co_filename == weakref.__file__ and "wr" in frame.f_locals and not answers:
            load_in_a_thread(answers, 3)
        return begin_another_between_two_loops

    with asyncio.Runner() as first:
        first.run(load(1))
        before = sys.gettrace()
        sys.settrace(begin_another_between_two_loops)
        try:
            answers.append(asyncio.run(load(2)))
        finally:
            sys.settrace(before)
    assert sorted(answers) in ([2], [2, 3]), "3 only where Python itself goes through the loops"


def test_two_loops_may_find_the_same_closed_one():
    answers, once = [], []

    class Loop(asyncio.SelectorEventLoop):
        def is_closed(self):
            if once:
                load_in_a_thread(answers, once.pop())
            return super().is_closed()

    with asyncio.Runner(loop_factory=Loop) as runner:
        loop = runner.get_loop()
        runner.run(load(4))
    once.append(5)
    answers.append(asyncio.run(load(6)))
    assert loop.is_closed()
    assert answers == [5, 6]
