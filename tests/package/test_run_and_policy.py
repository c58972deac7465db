"""boros.run, the policy, install and uninstall: as asyncio's own, on another loop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import warnings

import pytest

import boros
from boros import policy


async def whoami():
    return type(asyncio.get_running_loop())


def outcome(call, *args, **kwargs):
    """The result of a call, or the type and text of its exception."""
    try:
        return call(*args, **kwargs)
    except BaseException as error:
        return type(error), str(error)


@pytest.fixture(autouse=True)
def as_it_was():
    """Each test begins and ends without boros installed."""
    boros.uninstall()
    before = policy.current_policy()
    yield
    boros.uninstall()
    policy.set_policy(before)


def test_run_runs_on_boros_and_returns_the_result():
    assert issubclass(boros.run(whoami()), boros.EventLoop)


def test_run_raises_what_the_coroutine_raises():
    async def fail():
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        boros.run(fail())


@pytest.mark.parametrize("debug", [True, False])
def test_run_sets_debug(debug):
    async def main():
        return asyncio.get_running_loop().get_debug()

    assert boros.run(main(), debug=debug) is debug


def test_run_takes_a_loop_factory():
    assert boros.run(whoami(), loop_factory=asyncio.SelectorEventLoop) is asyncio.SelectorEventLoop


@pytest.mark.parametrize("what", [None, 3, whoami, "text", [1]])
def test_run_refuses_what_asyncio_refuses(what):
    assert outcome(boros.run, what) == outcome(asyncio.run, what)


def test_run_takes_the_awaitables_that_asyncio_takes():
    class Awaitable:
        def __await__(self):
            return iter(())

    ours, theirs = outcome(boros.run, Awaitable()), outcome(asyncio.run, Awaitable())
    if theirs is not None:
        # The message names the object.
        ours, theirs = ours[0], theirs[0]
    assert ours == theirs


def test_nested_run_is_refused_as_by_asyncio():
    async def nested(run):
        coroutine = whoami()
        try:
            return outcome(run, coroutine)
        finally:
            coroutine.close()

    ours = boros.run(nested(boros.run))
    assert ours == asyncio.run(nested(asyncio.run))
    assert ours[0] is RuntimeError


def test_run_leaves_the_current_loop_alone():
    loop = asyncio.SelectorEventLoop()
    asyncio.set_event_loop(loop)
    try:
        boros.run(whoami())
        assert asyncio.get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_run_cancels_what_is_left_and_closes_the_loop():
    ended = []

    async def endless():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("task")

    async def generator():
        try:
            yield 1
        finally:
            ended.append("generator")

    async def main():
        main.task = asyncio.ensure_future(endless())
        main.generator = generator()
        await anext(main.generator)
        return asyncio.get_running_loop()

    loop = boros.run(main())
    assert ended == ["task", "generator"] and loop.is_closed()


def test_interrupt_cancels_main_then_leaves_run():
    cleaned = []

    async def main():
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt):
        boros.run(main())
    assert cleaned
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_new_event_loop_is_not_current():
    loop = boros.new_event_loop()
    assert isinstance(loop, boros.EventLoop) and isinstance(loop, asyncio.AbstractEventLoop)
    loop.close()


def test_new_event_loop_is_a_loop_factory():
    with asyncio.Runner(loop_factory=boros.new_event_loop) as runner:
        assert issubclass(runner.run(whoami()), boros.EventLoop)


def test_policy_is_pythons_own_with_another_loop():
    ours = boros.EventLoopPolicy()
    loop = ours.new_event_loop()
    try:
        assert isinstance(loop, boros.EventLoop)
        ours.set_event_loop(loop)
        assert ours.get_event_loop() is loop
        seen = []
        thread = threading.Thread(target=lambda: seen.append(outcome(ours.get_event_loop)))
        thread.start()
        thread.join()
        assert seen[0][0] is RuntimeError, "each thread has its own"
        with pytest.raises((TypeError, AssertionError)):
            ours.set_event_loop("no loop")
    finally:
        loop.close()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="policies warn")
def test_policy_can_be_set_by_hand():
    before = policy.current_policy()
    asyncio.set_event_loop_policy(boros.EventLoopPolicy())
    assert issubclass(asyncio.run(whoami()), boros.EventLoop)
    boros.install()
    boros.uninstall()
    assert isinstance(asyncio.get_event_loop_policy(), boros.EventLoopPolicy), "not install's"
    asyncio.set_event_loop_policy(before)


def test_install_and_uninstall_say_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        boros.install()
        assert issubclass(asyncio.run(whoami()), boros.EventLoop)
        loop = asyncio.new_event_loop()
        loop.close()
        assert isinstance(loop, boros.EventLoop)
        boros.uninstall()
        assert not issubclass(asyncio.run(whoami()), boros.EventLoop)


def test_install_twice_is_install_once():
    before = policy.current_policy()
    boros.install()
    once = policy.current_policy()
    boros.install()
    assert policy.current_policy() is once
    boros.uninstall()
    assert policy.current_policy() is before
    boros.uninstall()
    assert policy.current_policy() is before


def test_uninstall_restores_the_very_policy():
    mine = policy._Base()
    policy.set_policy(mine)
    boros.install()
    assert policy.current_policy() is not mine
    boros.uninstall()
    assert policy.current_policy() is mine


def test_uninstall_leaves_a_later_policy_alone():
    boros.install()
    mine = policy._Base()
    policy.set_policy(mine)
    boros.uninstall()
    assert policy.current_policy() is mine
    policy.set_policy(None)


def test_install_from_many_threads():
    before = policy.current_policy()
    barrier = threading.Barrier(8)
    seen = []

    def race():
        barrier.wait()
        boros.install()
        seen.append(policy.current_policy())

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8 and len(set(map(id, seen))) == 1
    boros.uninstall()
    assert policy.current_policy() is before


def test_without_policies_the_function_is_replaced(monkeypatch):
    # As a Python to come has it.
    monkeypatch.setattr(policy, "HAS_POLICIES", False)
    plain = asyncio.new_event_loop
    boros.install()
    boros.install()
    loop = asyncio.new_event_loop()
    loop.close()
    assert isinstance(loop, boros.EventLoop)
    assert issubclass(asyncio.run(whoami()), boros.EventLoop)
    boros.uninstall()
    assert asyncio.new_event_loop is plain is asyncio.events.new_event_loop
