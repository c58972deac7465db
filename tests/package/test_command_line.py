"""``python -m boros`` beside ``python``: the same program, told apart by nothing it can see."""

from __future__ import annotations

import os
import py_compile
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

import boros as boros_package

PACKAGE = str(Path(boros_package.__file__).parents[1])


class Outcome:
    """What a finished program showed."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.stdout, self.stderr = tidy(done.stdout), tidy(done.stderr)
        self.status = done.returncode

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outcome) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return f"status {self.status}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


def tidy(output: bytes) -> str:
    """Output without what differs from one process, or depth of the stack, to another."""
    text = re.sub(r"0x[0-9a-f]+", "0x", output.decode("utf-8", "replace"))
    return re.sub(r"line repeated \d+ more times", "line repeated", text)


def launch(args, *, cwd, options=(), boros=(), stdin=b"", env=()):
    """Run ``python [options] [-m boros …] args`` and return its outcome."""
    words = [sys.executable, *options, *boros, *args]
    environment = {**os.environ, "PYTHONPATH": PACKAGE, "PYTHONDONTWRITEBYTECODE": "1", **dict(env)}
    done = subprocess.run(
        words, cwd=cwd, env=environment, input=stdin, capture_output=True, timeout=30
    )
    return Outcome(done)


def both(args, **kwargs):
    """Outcome of the program under python, and under boros."""
    return launch(args, **kwargs), launch(args, boros=("-m", "boros"), **kwargs)


def same(args, **kwargs):
    """Assert that python and boros show the same; return it."""
    plain, ours = both(args, **kwargs)
    assert ours == plain
    return plain


@pytest.fixture
def script(tmp_path):
    """A function that writes a script and returns its name."""

    def write(text, name="program.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(textwrap.dedent(text))
        return name

    return write


SHOW = """
    import atexit, sys
    print({k: v for k, v in globals().items() if k not in ("sys", "atexit")})
    print(list(globals()), sys.argv, sys.path[:1], sys.flags)
    import __main__
    print(__main__.__dict__ is globals(), sys.modules["__main__"] is __main__)
    atexit.register(lambda: print("__file__" in globals(), "__cached__" in globals()))
"""


@pytest.mark.parametrize(
    "spelling", ["program.py", "./program.py", "../{dir}//program.py", "{abs}"]
)
@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise KeyError(1)"])
def test_script_sees_the_same_surroundings(script, tmp_path, spelling, end):
    script(SHOW + "    " + end)
    spelling = spelling.format(dir=tmp_path.name, abs=tmp_path / "program.py")
    same([spelling, "-x", "--compat", "-m", "b c"], cwd=tmp_path)


def test_script_through_a_link_finds_its_neighbours(script, tmp_path):
    script("print('neighbour')", "real/neighbour.py")
    script("import neighbour, sys; print(__file__, sys.path[0])", "real/program.py")
    (tmp_path / "link.py").symlink_to("real/program.py")
    assert "neighbour" in same(["link.py"], cwd=tmp_path).stdout


@pytest.mark.parametrize("spelling", ["pack", "./pack/"])
def test_directory(script, tmp_path, spelling):
    script(SHOW, "pack/__main__.py")
    same([spelling, "a"], cwd=tmp_path)


def test_directory_without_main(tmp_path):
    (tmp_path / "pack").mkdir()
    assert same(["pack"], cwd=tmp_path).status == 1


def test_zip_file(script, tmp_path):
    script(SHOW + "    1/0", "pack/__main__.py")
    with zipfile.ZipFile(tmp_path / "pack.zip", "w") as archive:
        archive.write(tmp_path / "pack/__main__.py", "__main__.py")
    assert same(["pack.zip", "a"], cwd=tmp_path).status == 1


def test_compiled_file(script, tmp_path):
    script(SHOW)
    py_compile.compile(str(tmp_path / "program.py"), cfile=str(tmp_path / "compiled.pyc"))
    shutil.copy(tmp_path / "compiled.pyc", tmp_path / "disguised")
    same(["compiled.pyc", "a"], cwd=tmp_path)
    same(["disguised", "a"], cwd=tmp_path)
    (tmp_path / "bad.pyc").write_bytes(b"not bytecode at all")
    assert "Bad magic number" in same(["bad.pyc"], cwd=tmp_path).stderr


@pytest.mark.parametrize(
    "words", [["-m", "program"], ["-mprogram"], ["-m", "pack"], ["-m", "pack.mod"]]
)
@pytest.mark.parametrize("end", ["", "1/0", "sys.exit('bye')"])
def test_module(script, tmp_path, words, end):
    for name in ("program.py", "pack/__main__.py", "pack/mod.py"):
        script(SHOW + "    " + end, name)
    script("", "pack/__init__.py")
    same([*words, "-c", "--compat"], cwd=tmp_path)


@pytest.mark.parametrize(
    "name", ["missing", "missing.sub", "missing.py", ".relative", "bare", "broken"]
)
def test_module_that_cannot_be_run(script, tmp_path, name):
    script("", "bare/__init__.py")
    script("import nothing_of_the_kind", "broken.py")
    assert same(["-m", name], cwd=tmp_path).status == 1


@pytest.mark.parametrize(
    "words",
    [
        ["-c", "import sys; print(list(globals().items()), sys.argv, sys.path[0])", "a", "-m"],
        ["-cprint(1)"],
        ["-c", "def f():\n  1/0\nf()"],
        ["-c", "1 +"],
        ["-c", "raise KeyboardInterrupt"],
        ["-c", "import sys; sys.exit()"],
        ["-c", "import sys; sys.exit(True)"],
        ["-c", "import sys; sys.exit(300)"],
        ["-c", "import sys; sys.exit(-1)"],
        ["-c", "import sys; sys.exit('text')"],
        ["-c", "import sys; sys.exit((1, 2))"],
        ["-c", "import os; os._exit(7)"],
        ["-c", "raise SystemExit(SystemExit(2))"],
        ["-c", ""],
    ],
)
def test_command(tmp_path, words):
    same(words, cwd=tmp_path)


@pytest.mark.parametrize("words", [[], ["-"], ["-", "a", "-b"]])
@pytest.mark.parametrize(
    "program",
    [
        "import sys; print(list(globals().items()), sys.argv, sys.path[0])\n",
        "def f():\n    1/0\nf()\n",
        "x = = 1\n",
        "print(__import__('sys').stdin.read())\n",
        "",
    ],
)
def test_standard_input(tmp_path, words, program):
    same(words, cwd=tmp_path, stdin=program.encode())


@pytest.mark.parametrize(
    "body",
    [
        "1/0",
        "raise SystemExit",
        "raise KeyboardInterrupt",
        "x = (1,\n",
        "def f(:\n  pass",
        "    x = 1\n  y = 2",
        "return 1",
        "from __future__ import nothing",
        "class E(BaseException): pass\nraise E('base')",
        "try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise KeyError('x') from e",
        "try:\n    1/0\nexcept ZeroDivisionError:\n    {}['x']",
        "raise ExceptionGroup('g', [ValueError(1), TypeError(2)])",
        "import sys\ndef hook(*a):\n    print(a[0].__name__, a[2].tb_frame.f_code.co_name)\n"
        "    print('__file__' in globals())\nsys.excepthook = hook\n1/0",
        "import sys\ndef hook(*a):\n    {}['hook']\nsys.excepthook = hook\n1/0",
        "import sys\ndef hook(*a):\n    sys.exit(9)\nsys.excepthook = hook\n1/0",
        "import sys\ndel sys.excepthook\n1/0",
        "import atexit, sys\natexit.register(lambda: print(sys.excepthook is sys.__excepthook__,"
        " sys.last_traceback.tb_frame.f_code.co_filename))\n1/0",
        "import threading\nt = threading.Thread(target=lambda: 1/0)\nt.start(); t.join()",
        "import warnings\nwarnings.warn('old', DeprecationWarning)\nwarnings.warn('new')",
        "def f(n):\n    f(n + 1)\nf(0)",
        "import sys\nsys.stdout.write('no newline')\nsys.exit('then this')",
        "from __future__ import annotations\nx: Undefined = 1\nprint(__annotations__)",
        "x: int = 1\nprint(__annotations__)",
        "assert 0, 'checked'",
        "raise __import__('asyncio').CancelledError",
    ],
)
def test_end_of_a_script(script, tmp_path, body):
    script(body)
    same(["program.py"], cwd=tmp_path)


@pytest.mark.parametrize(
    "source",
    [
        b"x = 1\ns = '\xe9'\n",
        b"s = '\xe9'\n",
        b"# coding: latin-1\nprint(ascii('\xe9'))\n",
        b"# coding: nonsense\nprint(1)\n",
        b"\xef\xbb\xbfprint(ascii('\xc3\xa9'))\n",
        b"#!/usr/bin/env python\r\nprint(1)\r\n",
        b"print(1)",
    ],
)
def test_encoding_of_a_script(tmp_path, source):
    (tmp_path / "program.py").write_bytes(source)
    same(["program.py"], cwd=tmp_path)


@pytest.mark.parametrize(
    "options",
    [["-X", "dev"], ["-O"], ["-OO"], ["-W", "error"], ["-P"], ["-I"], ["-B", "-q"], ["-X", "utf8"]],
)
def test_options_of_the_interpreter(script, tmp_path, options):
    script(
        """
        import sys, warnings
        print(__doc__, __debug__, sys.flags, sys.warnoptions, sys._xoptions, sys.path[:1])
        assert sys.argv == ["program.py"], "stays"
        assert not __debug__, "gone with -O"
        warnings.warn("as -W says")
        """
    )
    if "-I" in options:
        pytest.importorskip("boros")
        probe = launch(["-c", "import boros"], cwd=tmp_path, options=options)
        if probe.status:
            pytest.skip("boros is not installed where -I looks")
    same(["program.py"], cwd=tmp_path, options=options)


def test_script_that_is_not_there(tmp_path):
    assert same(["nothing.py"], cwd=tmp_path).status == 2
    assert same(["no/such/dir/nothing.py", "-m"], cwd=tmp_path).status == 2
    assert same(["n" * 300], cwd=tmp_path).status == 2
    (tmp_path / "loop.py").symlink_to("loop.py")
    assert same(["loop.py"], cwd=tmp_path).status == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_script_that_may_not_be_read(script, tmp_path):
    script("")
    (tmp_path / "program.py").chmod(0)
    assert same(["program.py"], cwd=tmp_path).status == 2


def test_classes_of_main_can_be_pickled(script, tmp_path):
    script(
        """
        import pickle
        class Point:
            pass
        print(type(pickle.loads(pickle.dumps(Point()))) is Point, Point)
        """
    )
    same(["program.py"], cwd=tmp_path)
    same(["-m", "program"], cwd=tmp_path)


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
@pytest.mark.parametrize("words", [["program.py"], ["-m", "program"]])
def test_multiprocessing(script, tmp_path, method, words):
    script(
        f"""
        import multiprocessing
        def double(x):
            return 2 * x, __name__ if {method!r} == "spawn" else ""
        if __name__ == "__main__":
            with multiprocessing.get_context({method!r}).Pool(1) as pool:
                print(pool.map(double, [1, 2]))
        """
    )
    assert "(4, " in same(words, cwd=tmp_path).stdout


def test_prompt_after_the_program(script, tmp_path):
    script("x = 1\n1/0")
    same(["program.py"], cwd=tmp_path, options=["-i"], stdin=b"print(x, __name__)\n")
    script("import sys\nsys.exit(3)")
    same(["program.py"], cwd=tmp_path, options=["-i"], stdin=b"print(__name__)\n")


@pytest.mark.parametrize("words", [["program.py"], ["-m", "program"]])
def test_interrupt_while_running(script, tmp_path, words):
    script(
        """
        import asyncio, os, signal
        async def main():
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
            try:
                await asyncio.Event().wait()
            finally:
                print("cleaned up")
        asyncio.run(main())
        """
    )
    plain, ours = both(words, cwd=tmp_path)
    assert ours.status == plain.status == -signal.SIGINT
    assert ours.stdout == plain.stdout == "cleaned up\n"
    assert ours.stderr.splitlines()[-1] == plain.stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert "boros/cli.py" not in ours.stderr


@pytest.mark.parametrize("text", ["", "-m program", "-c code", "stdin"])
def test_asyncio_hands_out_boros(script, tmp_path, text):
    code = """if 1:
        import asyncio
        async def main():
            loop = asyncio.get_running_loop()
            print(type(loop).__module__.split(".")[0], type(loop).__qualname__)
        asyncio.run(main())
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        with asyncio.Runner() as runner:
            runner.run(main())
    """
    script(code)
    words = {
        "": ["program.py"],
        "-m program": ["-m", "program"],
        "-c code": ["-c", code],
        "stdin": [],
    }
    done = launch(words[text], cwd=tmp_path, boros=("-m", "boros"), stdin=code.encode())
    assert done.stdout == "boros EventLoop\n" * 3
    assert not done.stderr and not done.status


def boros(*words, cwd, **kwargs):
    return launch(words, cwd=cwd, boros=("-m", "boros"), **kwargs)


def test_help_and_version(tmp_path):
    for option in ("-h", "--help"):
        done = boros(option, cwd=tmp_path)
        assert done.status == 0 and "--compat" in done.stdout and not done.stderr
    for option in ("-V", "--version"):
        done = boros(option, cwd=tmp_path)
        assert re.fullmatch(r"boros \d+\.\d+\.\d+\S* \(CPython 3\.\d+\.\d+\)\n", done.stdout)
        assert done.status == 0 and not done.stderr


@pytest.mark.parametrize("words", [["-m"], ["-c"], ["--nonsense"], ["-Z", "program.py"]])
def test_bad_command_lines(tmp_path, words):
    done = boros(*words, cwd=tmp_path)
    assert done.status == 2 and not done.stdout
    first, rest = done.stderr.split("\n", 1)
    assert words[0] in first and rest.startswith("usage: python -m boros")


def test_what_follows_the_program_is_the_programs(script, tmp_path):
    script("import sys; print(sys.argv)")
    for words in (["program.py"], ["--", "program.py"], ["--compat", "program.py"]):
        done = boros(*words, "-h", "--version", "--", "-m", cwd=tmp_path)
        assert done.stdout == "['program.py', '-h', '--version', '--', '-m']\n"


def test_prompt_at_a_terminal(tmp_path):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    try:
        environment = {**os.environ, "PYTHONPATH": PACKAGE, "TERM": "dumb"}
        process = subprocess.Popen(
            [sys.executable, "-m", "boros"],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=tmp_path,
        )
        os.write(ours, b"import asyncio; print(__name__, asyncio.new_event_loop())\nexit(5)\n")
        output, _ = process.communicate(timeout=20)
    finally:
        os.close(ours)
        os.close(theirs)
    assert b"__main__ <boros" in output or b"__main__ <EventLoop" in output
    assert process.returncode == 5
