"""Subprocesses: streams, signals, exit statuses, and what is left when a program or a loop ends, on both loops."""

from __future__ import annotations

import asyncio
import asyncio.subprocess
import contextlib
import gc
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from subprocess import DEVNULL, PIPE, STDOUT

import pytest

import boros

BIG = 3_000_000

#: Copies its input to its output, in Python: any size, both ways at once.
ECHO = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
#: Says when it is ready, then does not end by itself.
BLOCKED = "import sys, time; print('ready', flush=True); time.sleep(3600)"
#: The same, and SIGTERM does not end it.
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + BLOCKED


def python(code):
    """The command that runs ``code``."""
    return sys.executable, "-S", "-c", code


def zombies():
    """The children of this process that have ended and that nobody has asked about."""
    found = []
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/children") as file:
            children = file.read().split()
        for child in children:
            try:
                with open(f"/proc/{child}/stat") as file:
                    state = file.read().rpartition(")")[2].split()[0]
            except FileNotFoundError:
                continue
            if state == "Z":
                found.append(int(child))
    return found


@pytest.fixture(autouse=True)
def no_zombies():
    """Fail a test that leaves a zombie."""
    before = set(zombies())
    yield
    gc.collect()
    assert not set(zombies()) - before


@pytest.fixture
def boros_run(_reports):
    """Like ``run``, for what only boros does."""

    def make():
        loop = boros.new_event_loop()
        loop.set_exception_handler(_reports)
        return loop

    def run(main):
        with asyncio.Runner(loop_factory=make) as runner:
            return runner.run(main)

    return run


def is_running(pid):
    """Whether there is a process of that number, or its zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill_unnoticed(pid):
    """Kill a child and wait until it is dead, which nobody has been told."""
    os.kill(pid, signal.SIGKILL)
    # Where a thread of asyncio waits, that may have been told.
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


async def blocked(code=BLOCKED, **options):
    """A process that has said that it is ready."""
    process = await asyncio.create_subprocess_exec(*python(code), stdout=PIPE, **options)
    assert await process.stdout.readline() == b"ready\n"
    return process


class Protocol(asyncio.SubprocessProtocol):
    """Keeps what it is told, in order."""

    def __init__(self):
        self.calls = []
        self.data = {1: bytearray(), 2: bytearray()}
        self.exited = asyncio.get_running_loop().create_future()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.calls.append("made")
        self.transport = transport

    def pipe_data_received(self, fd, data):
        self.data[fd] += data

    def pipe_connection_lost(self, fd, exc):
        self.calls.append(("pipe", fd))

    def process_exited(self):
        self.calls.append("exited")
        self.exited.set_result(self.transport.get_returncode())

    def connection_lost(self, exc):
        self.calls.append("lost")
        self.lost.set_result(exc)


# Running programs


def test_a_program_runs_and_its_status_is_told(run):
    async def main():
        for status in 0, 1, 42, 255:
            process = await asyncio.create_subprocess_exec("sh", "-c", f"exit {status}")
            assert await process.wait() == status
            assert process.returncode == status
            assert await process.wait() == status

    run(main())


def test_the_status_of_a_program_that_a_signal_ends(run):
    async def main():
        for number in signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1, signal.SIGSEGV:
            process = await asyncio.create_subprocess_shell(f"ulimit -c 0; kill -{number:d} $$")
            assert await process.wait() == -number

    run(main())


@pytest.mark.parametrize("size", [0, 1, 70_000, BIG])
def test_communicate_moves_any_size_both_ways(run, size):
    data = random.Random(size).randbytes(size)

    async def main():
        process = await asyncio.create_subprocess_exec(*python(ECHO), stdin=PIPE, stdout=PIPE)
        assert await process.communicate(data) == (data, None)
        assert process.returncode == 0

    run(main())


def test_all_three_streams_at_once(run):
    code = """if True:
        import sys, threading
        data = sys.stdin.buffer.read()
        err = threading.Thread(target=sys.stderr.buffer.write, args=(data[::-1],))
        err.start()
        sys.stdout.buffer.write(data)
        err.join()
    """
    data = random.Random(3).randbytes(BIG)

    async def main():
        process = await asyncio.create_subprocess_exec(
            *python(code), stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        assert await process.communicate(data) == (data, data[::-1])

    run(main())


def test_streams_of_a_shell(run, tmp_path):
    async def main():
        process = await asyncio.create_subprocess_shell(
            "cat; echo err >&2", stdin=PIPE, stdout=PIPE, stderr=STDOUT
        )
        assert await process.communicate(b"in ") == (b"in err\n", None)
        process = await asyncio.create_subprocess_shell(
            "cat; echo err >&2", stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
        )
        assert await process.communicate() == (None, b"err\n")
        with open(tmp_path / "file", "wb") as file:
            process = await asyncio.create_subprocess_shell("echo out", stdout=file)
            assert await process.wait() == 0
        assert (tmp_path / "file").read_bytes() == b"out\n"

    run(main())


def test_a_conversation_line_by_line(run):
    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        for number in range(100):
            process.stdin.write(b"%d\n" % number)
            assert await process.stdout.readline() == b"%d\n" % number
        process.stdin.close()
        await process.stdin.wait_closed()
        assert await process.stdout.read() == b""
        assert await process.wait() == 0

    run(main())


def test_options_of_popen(run, tmp_path):
    code = """if True:
        import os, sys
        print(os.getcwd(), os.environ["NAME"], os.getpgid(0) == os.getpid(), os.umask(0))
        print(os.read(int(sys.argv[1]), 10))
    """

    async def main():
        reader, writer = os.pipe()
        os.write(writer, b"passed")
        process = await asyncio.create_subprocess_exec(
            *python(code),
            str(reader),
            stdout=PIPE,
            cwd=tmp_path,
            env={**os.environ, "NAME": "value"},
            pass_fds=[reader],
            start_new_session=True,
            umask=0o27,
            restore_signals=True,
            close_fds=True,
        )
        out, _ = await process.communicate()
        os.close(reader)
        os.close(writer)
        assert out.decode().splitlines() == [f"{tmp_path} value True {0o27}", "b'passed'"]

    run(main())


def test_the_executable_and_preexec_fn(run):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "other name", "-c", "echo $0; exit $(umask)", executable="/bin/sh", stdout=PIPE
        )
        assert (await process.communicate())[0] == b"other name\n"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            process = await asyncio.create_subprocess_exec("sleep", "60", preexec_fn=os.setsid)
        assert os.getpgid(process.pid) == process.pid
        os.killpg(process.pid, signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL

    run(main())


def test_what_cannot_be_started_raises_and_leaves_nothing(run, tmp_path):
    async def main():
        with pytest.raises(FileNotFoundError):
            await asyncio.create_subprocess_exec(
                str(tmp_path / "missing"), stdin=PIPE, stdout=PIPE, stderr=PIPE
            )
        (tmp_path / "file").write_text("no program")
        with pytest.raises(PermissionError):
            await asyncio.create_subprocess_exec(str(tmp_path / "file"), stdout=PIPE)
        with pytest.raises(NotADirectoryError):
            await asyncio.create_subprocess_exec("true", cwd=tmp_path / "file")
        with pytest.raises(TypeError):
            await asyncio.create_subprocess_exec("true", no_such_option=1)
        with pytest.raises(TypeError):
            await asyncio.create_subprocess_exec("echo", 1)

    run(main())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"universal_newlines": True}, "universal_newlines must be False"),
        ({"bufsize": 1}, "bufsize must be 0"),
        ({"text": True}, "text must be False"),
        ({"encoding": "utf-8"}, "encoding must be None"),
        ({"errors": "strict"}, "errors must be None"),
    ],
)
def test_streams_are_bytes_and_unbuffered(run, options, message):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(ValueError, match=message):
            await loop.subprocess_exec(Protocol, "true", **options)
        with pytest.raises(ValueError, match=message):
            await loop.subprocess_shell(Protocol, "true", **options)

    run(main())


def test_the_shell_is_where_it_belongs(run):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(ValueError, match="shell must be False"):
            await loop.subprocess_exec(Protocol, "true", shell=True)
        with pytest.raises(ValueError, match="shell must be True"):
            await loop.subprocess_shell(Protocol, "true", shell=False)
        with pytest.raises(ValueError, match="cmd must be a string"):
            await loop.subprocess_shell(Protocol, ["true"])
        with pytest.raises(TypeError):
            await loop.subprocess_exec(Protocol)

    run(main())


# The transport and the protocol


def test_the_order_of_the_callbacks(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(
            Protocol, *python("print('out'); import sys; sys.stderr.write('err')")
        )
        assert isinstance(transport, asyncio.SubprocessTransport)
        assert transport.get_protocol() is protocol
        assert transport.get_extra_info("subprocess").pid == transport.get_pid()
        assert isinstance(transport.get_pipe_transport(0), asyncio.WriteTransport)
        assert isinstance(transport.get_pipe_transport(1), asyncio.ReadTransport)
        assert transport.get_pipe_transport(3) is None
        assert await protocol.exited == 0
        assert await protocol.lost is None
        assert protocol.calls[0] == "made"
        assert protocol.calls[-1] == "lost"
        assert sorted(map(str, protocol.calls[1:-1])) == [
            "('pipe', 0)",
            "('pipe', 1)",
            "('pipe', 2)",
            "exited",
        ]
        assert protocol.data == {1: b"out\n", 2: b"err"}
        assert transport.get_returncode() == 0
        transport.close()
        assert transport.is_closing()
        with pytest.raises(ProcessLookupError):
            transport.send_signal(signal.SIGTERM)

    run(main())


def test_connection_lost_waits_for_the_pipes(run):
    # A grandchild has the output open when the child is gone.
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_shell(
            Protocol, "exec 3<&0; (read line; echo $line) <&3 & exit 7", stdin=PIPE, stderr=None
        )
        assert await protocol.exited == 7
        assert "lost" not in protocol.calls
        transport.get_pipe_transport(0).write(b"late\n")
        await protocol.lost
        assert protocol.data[1] == b"late\n"
        transport.close()

    run(main())


def test_signals(run):
    code = """if True:
        import signal, sys
        signal.signal(signal.SIGUSR1, lambda *_: sys.exit(9))
        print('ready', flush=True)
        signal.pause()
    """

    async def main():
        process = await blocked(code)
        process.send_signal(signal.SIGUSR1)
        assert await process.wait() == 9
        process = await blocked()
        process.terminate()
        assert await process.wait() == -signal.SIGTERM
        process = await blocked()
        process.kill()
        assert await process.wait() == -signal.SIGKILL
        with pytest.raises(ProcessLookupError):
            process.kill()

    run(main())


def test_a_child_that_ignores_sigterm_is_killed(run):
    async def main():
        process = await blocked(STUBBORN)
        process.terminate()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), 0.05)
        assert process.returncode is None
        process.kill()
        assert await process.wait() == -signal.SIGKILL

    run(main())


def test_closing_the_transport_kills_the_child(run):
    async def main():
        process = await blocked(STUBBORN, stdin=PIPE)
        process._transport.close()
        assert await process.wait() == -signal.SIGKILL
        assert not is_running(process.pid)

    run(main())


def test_closing_after_the_exit_that_nobody_has_noticed(run):
    async def main():
        process = await blocked()
        kill_unnoticed(process.pid)
        process._transport.close()
        assert await process.wait() in (-signal.SIGKILL, 255)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run(main())


def test_a_status_that_popen_took_is_told(boros_run):
    # asyncio reports 255 and warns.
    async def main():
        process = await blocked()
        popen = process._transport.get_extra_info("subprocess")
        popen.kill()
        assert popen.wait() == -signal.SIGKILL
        assert await process.wait() == -signal.SIGKILL
        process = await blocked()
        popen = process._transport.get_extra_info("subprocess")
        waiting = asyncio.get_running_loop().run_in_executor(None, popen.wait)
        process.terminate()
        assert await process.wait() == await waiting == -signal.SIGTERM

    boros_run(main())


def test_a_status_that_somebody_else_took_is_unknown(boros_run, caplog):
    # As on asyncio, unless it waits in a thread, which may be first.
    async def main():
        process = await blocked()
        process.kill()
        os.waitpid(process.pid, 0)
        with caplog.at_level(logging.WARNING, "asyncio"):
            assert await process.wait() == 255
        assert str(process.pid) in caplog.text

    boros_run(main())


def test_a_signal_to_a_child_that_is_gone_already(run):
    async def main():
        process = await blocked()
        kill_unnoticed(process.pid)
        process.send_signal(signal.SIGTERM)
        process.kill()
        # Up to 3.12, asyncio's own question takes the status.
        assert await process.wait() in (-signal.SIGKILL, 255)

    run(main())


# Streams that end early


def test_a_child_that_closes_its_input_early(run):
    async def main():
        process = await asyncio.create_subprocess_exec(*python("pass"), stdin=PIPE, stdout=PIPE)
        # communicate() takes no offence.
        assert await process.communicate(bytes(BIG)) == (b"", None)
        assert process.returncode == 0

    run(main())


def test_writing_to_a_child_that_is_gone(run):
    async def main():
        process = await asyncio.create_subprocess_exec(*python("pass"), stdin=PIPE)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                process.stdin.write(bytes(100_000))
                await process.stdin.drain()
        assert await process.wait() == 0

    run(main())


def test_a_child_that_closes_its_output_early(run):
    async def main():
        code = "import os; os.close(1); os.read(0, 1)"
        process = await asyncio.create_subprocess_exec(*python(code), stdin=PIPE, stdout=PIPE)
        assert await process.stdout.read() == b""
        assert process.returncode is None
        process.stdin.write(b"x")
        assert await process.wait() == 0

    run(main())


def test_pausing_the_output(run):
    async def main():
        process = await asyncio.create_subprocess_exec(
            *python(f"import sys; sys.stdout.buffer.write(bytes({BIG}))"), stdout=PIPE, limit=1000
        )
        size = 0
        while part := await process.stdout.read(50_000):
            size += len(part)
        assert size == BIG
        assert await process.wait() == 0

    run(main())


# Cancellation


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 40])
def test_cancelling_communicate_at_any_point(run, turns):
    async def main():
        process = await asyncio.create_subprocess_exec(
            *python(ECHO), stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        task = asyncio.create_task(process.communicate(bytes(BIG)))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if process.returncode is None:
            process.kill()
        assert await process.wait() in (0, -signal.SIGKILL)

    run(main())


@pytest.mark.parametrize("turns", range(8))
def test_cancelling_the_start_at_any_point(run, turns):
    children = []

    async def main():
        async def start():
            process = await asyncio.create_subprocess_exec(
                *python(STUBBORN), stdin=PIPE, stdout=PIPE, stderr=PIPE
            )
            children.append(process)

        task = asyncio.create_task(start())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        for process in children:
            process.kill()
            await process.wait()

    run(main())


def test_a_grandchild_does_not_hold_up_a_cancelled_start(boros_run):
    # asyncio waits for the output that the grandchild has open.
    async def main():
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(loop.subprocess_shell(Protocol, "sleep 60 & echo $!; wait"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)

    boros_run(main())


def test_waiting_with_a_timeout(run):
    async def main():
        process = await blocked()
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), 0.01)
        process.kill()
        assert await asyncio.wait_for(process.wait(), 10) == -signal.SIGKILL

    run(main())


def test_many_wait_for_one(run):
    async def main():
        process = await blocked()
        waiting = [asyncio.create_task(process.wait()) for _ in range(10)]
        await asyncio.sleep(0)
        process.kill()
        assert await asyncio.gather(*waiting) == [-signal.SIGKILL] * 10

    run(main())


# Many, and in many threads


def test_a_hundred_children_at_once(run):
    async def one(number):
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", f"cat; exit {number}", stdin=PIPE, stdout=PIPE
        )
        out, _ = await process.communicate(b"%d" % number)
        return out, process.returncode

    async def main():
        results = await asyncio.gather(*(one(number) for number in range(100)))
        assert results == [(b"%d" % number, number) for number in range(100)]

    run(main())


def test_no_thread_is_started_and_no_handler_installed(boros_run):
    async def main():
        before = signal.getsignal(signal.SIGCHLD)
        children = [await blocked() for _ in range(5)]
        assert threading.active_count() == 1
        assert signal.getsignal(signal.SIGCHLD) == before
        for process in children:
            process.kill()
            await process.wait()

    boros_run(main())


def test_the_program_keeps_its_sigchld(boros_run):
    told = []

    async def main():
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        loop.add_signal_handler(signal.SIGCHLD, lambda: (told.append(1), arrived.set()))
        process = await asyncio.create_subprocess_exec("sh", "-c", "exit 3")
        assert await process.wait() == 3
        await arrived.wait()
        loop.remove_signal_handler(signal.SIGCHLD)

    boros_run(main())
    assert told


def test_loops_in_several_threads(new_loop):
    async def main(number):
        for _ in range(5):
            process = await asyncio.create_subprocess_exec(
                "sh", "-c", f"cat; exit {number}", stdin=PIPE, stdout=PIPE
            )
            out, _ = await process.communicate(b"%d" % number)
            assert (out, process.returncode) == (b"%d" % number, number)
        return number

    results = {}

    def work(number):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            results[number] = runner.run(main(number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: number for number in range(4)}


@pytest.mark.parametrize("failure", ["missing", "refused"])
def test_without_process_descriptors_a_thread_waits(boros_run, monkeypatch, failure):
    def refuse(pid, flags=0):
        raise OSError(24, "Too many open files")

    if failure == "missing":
        monkeypatch.delattr(os, "pidfd_open")
    else:
        monkeypatch.setattr(os, "pidfd_open", refuse)

    async def main():
        process = await blocked()
        [thread] = [one for one in threading.enumerate() if "waitpid" in one.name]
        process.terminate()
        assert await process.wait() == -signal.SIGTERM
        thread.join()
        process = await asyncio.create_subprocess_exec("sh", "-c", "exit 4")
        assert await process.wait() == 4

    boros_run(main())
    for thread in threading.enumerate():
        if "waitpid" in thread.name:
            thread.join()


# The end of the loop


def test_a_loop_that_is_closed_before_its_child(boros_run):
    children = []

    async def main():
        children.append(await blocked(STUBBORN, stdin=PIPE, stderr=PIPE))

    boros_run(main())
    [process] = children
    assert is_running(process.pid)
    pid = process.pid
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        children.clear()
        del process
        gc.collect()
    # Killed and buried: there is no zombie, either.
    assert not is_running(pid)


def test_a_transport_closed_after_its_loop(boros_run):
    children = []

    async def main():
        children.append(await blocked(STUBBORN, stdin=PIPE))

    boros_run(main())
    [process] = children
    process._transport.close()
    assert not is_running(process.pid)
    process._transport.close()


def test_a_child_that_ends_after_its_loop(boros_run):
    children = []

    async def main():
        process = await blocked()
        children.append(process)
        process._transport.close()

    boros_run(main())
    pid = children[0].pid
    children.clear()
    gc.collect()
    assert not is_running(pid)


def test_a_fork_does_not_touch_its_parents_children(boros_run):
    async def main():
        process = await blocked(stdin=PIPE)
        # As held by a thread that waits, which the fork does not have.
        with process._transport.get_extra_info("subprocess")._waitpid_lock:
            fork = os.fork()
            if not fork:
                try:
                    process._transport.close()
                    os._exit(0)
                finally:
                    os._exit(1)
        assert os.waitpid(fork, 0)[1] == 0
        assert os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        process.kill()
        assert await process.wait() == -signal.SIGKILL

    boros_run(main())


def test_debug_mode_logs_what_is_run(run, caplog):
    async def main():
        process = await asyncio.create_subprocess_exec("true", "secret", stdin=PIPE, stderr=STDOUT)
        await process.communicate()
        process = await asyncio.create_subprocess_shell("exit 5", stdout=PIPE, stderr=STDOUT)
        await process.communicate()

    with caplog.at_level(logging.DEBUG, "asyncio"):
        run(main(), debug=True)
    assert "execute program 'true' stdin=<pipe>" in caplog.text
    assert "run shell command 'exit 5' stdout=stderr=<pipe>" in caplog.text
    assert "exited with return code 5" in caplog.text
    assert "secret" not in caplog.text


def test_popen_of_others_is_left_alone(boros_run):
    with subprocess.Popen(["sh", "-c", "exit 6"]) as other:

        async def main():
            process = await asyncio.create_subprocess_exec("true")
            await process.wait()

        boros_run(main())
        assert other.wait() == 6
