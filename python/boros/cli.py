"""The command line: a program run as ``python`` would run it, on boros.

What a program can see of how it was started (``sys.argv``, ``sys.path[0]``,
the ``__main__`` module, tracebacks, exit status) follows Modules/main.c and
Python/pythonrun.c of CPython. Errors are not printed here: they leave through
the interpreter, which then flushes, prints and exits as it always does; only
our own frames are taken off the traceback on the way (see :func:`_depart`).
"""

from __future__ import annotations

import builtins
import importlib.machinery
import importlib.util
import io
import linecache
import marshal
import os
import pkgutil
import runpy
import sys
import tokenize
import types
from collections.abc import Callable
from typing import Any, NoReturn

from boros import policy

__all__ = ("main",)

_USAGE = """\
usage: python -m boros [--compat] [script.py | directory | zipfile] [argument ...]
       python -m boros [--compat] -m module [argument ...]
       python -m boros [--compat] -c code [argument ...]
       python -m boros [--compat] [-] [argument ...]      (the program on stdin)
"""

_HELP = (
    _USAGE
    + """
Run an unmodified program with boros as the event loop that asyncio hands out.
What follows the program is the program's. Options of the interpreter itself
(-X dev, -W, -O, ...) go before -m boros.

  --compat    let code for the asyncio of Python 3.4 run too: @asyncio.coroutine
              and yield from, loop= arguments, Task.all_tasks and their kin
  --version   print the versions of boros and Python, and exit
  -h, --help  print this, and exit
"""
)


class _Request:
    """What the command line asks for: how to run, what, and its ``sys.argv``."""

    def __init__(self, kind: str, target: str, argv: list[str], compat: bool) -> None:
        self.kind = kind
        self.target = target
        self.argv = argv
        self.compat = compat


def _fail(message: str) -> NoReturn:
    """Refuse the command line, in the way and with the status that python does."""
    sys.stderr.write(f"{message}\n{_USAGE}Try `python -m boros -h' for more information.\n")
    sys.exit(2)


def _parse(args: list[str]) -> _Request:
    """Read our options, up to the first word that is not one."""
    compat = False
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--compat":
            compat = True
        elif word in ("-h", "--help"):
            sys.stdout.write(_HELP)
            sys.exit(0)
        elif word in ("-V", "--version"):
            from boros import __version__

            implementation = sys.implementation.name.replace("cp", "CP")
            version = ".".join(map(str, sys.version_info[:3]))
            sys.stdout.write(f"boros {__version__} ({implementation} {version})\n")
            sys.exit(0)
        elif word[:2] in ("-m", "-c"):
            option, target = word[:2], word[2:]
            if not target:
                if not rest:
                    _fail(f"Argument expected for the {option} option")
                target = rest.pop(0)
            return _Request(option, target, [option, *rest], compat)
        elif word == "--" and rest:
            word = rest.pop(0)
            return _Request("file", word, [word, *rest], compat)
        elif word == "-":
            return _Request("stdin", "", ["-", *rest], compat)
        elif word.startswith("-") and word != "--":
            _fail(f"Unknown option: {word}")
        elif word != "--":
            return _Request("file", word, [word, *rest], compat)
    return _Request("stdin", "", [""], compat)


def _new_main() -> types.ModuleType:
    """Put a fresh ``__main__`` in place, with the names python gives it, in its order."""
    module = types.ModuleType("__main__")
    module.__loader__ = importlib.machinery.BuiltinImporter
    # Which names there are depends on the version; ours has them all.
    if "__annotations__" in vars(sys.modules["__main__"]):
        module.__annotations__ = {}
    vars(module)["__builtins__"] = builtins
    sys.modules["__main__"] = module
    return module


def _set_file(names: dict[str, Any], filename: str) -> None:
    """Say where a script comes from; :func:`_forget_file` takes it back."""
    names["__file__"] = filename
    # Going away in 3.15, as this module's own shows.
    if "__cached__" in globals():
        names["__cached__"] = None


def _set_path0(path: str, *, always: bool = False) -> None:
    """Replace the directory that ``python -m`` put first on ``sys.path`` by *path*."""
    if sys.flags.safe_path:
        if always:
            sys.path.insert(0, path)
        return
    try:
        ours = os.getcwd()
    except OSError:
        ours = None
    if sys.path and sys.path[0] == ours:
        sys.path[0] = path
    else:
        sys.path.insert(0, path)


def _absolute(path: str) -> str:
    """*path* as ``__file__`` shows it: absolute, but otherwise as it was typed."""
    if os.path.isabs(path):
        return path
    try:
        return f"{os.getcwd()}/{path}"
    except OSError:
        return path


def _as_from_file(error: SyntaxError, source: bytes, filename: str) -> SyntaxError:
    """*error* of ``compile`` in the words of the interpreter reading the same file.

    ``compile`` has the text at once, the interpreter reads it line by line;
    they differ about text in another encoding than the one declared.
    """
    message = str(error.msg)
    if message.startswith("unknown encoding: "):
        return SyntaxError(message.replace("unknown encoding", "encoding problem"))
    if not message.startswith("(unicode error)"):
        return error
    try:
        if tokenize.detect_encoding(io.BytesIO(source).readline)[0][:5] != "utf-8":
            return error
    except SyntaxError:
        # Its own finding that the first lines are not UTF-8.
        pass
    for number, line in enumerate(source.split(b"\n"), 1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as wrong:
            return SyntaxError(
                f"Non-UTF-8 code starting with '\\x{line[wrong.start]:02x}' in file {filename} "
                f"on line {number}, but no encoding declared; "
                "see https://peps.python.org/pep-0263/ for details"
            )
    return error


def _compile(source: str | bytes, filename: str) -> types.CodeType:
    """Compile a program, blind to the ``__future__`` imports of this module."""
    try:
        return compile(source, filename, "exec", dont_inherit=True)
    except SyntaxError as error:
        if isinstance(source, bytes):
            raise _as_from_file(error, source, filename) from None
        raise


def _load_file(data: bytes, filename: str) -> tuple[types.CodeType, Any]:
    """The code in a file, source or compiled, and the loader that goes with it."""
    magic = importlib.util.MAGIC_NUMBER
    if filename.endswith(".pyc") or data[:2] == magic[:2]:
        if data[:4] != magic:
            raise RuntimeError("Bad magic number in .pyc file")
        loader = importlib.machinery.SourcelessFileLoader("__main__", filename)
        return marshal.loads(data[16:]), loader
    return _compile(data, filename), importlib.machinery.SourceFileLoader("__main__", filename)


def _run_file(request: _Request) -> None:
    """Run a script, or a directory or zip file with a ``__main__``."""
    main = _new_main()
    filename = _absolute(request.target)
    if pkgutil.get_importer(filename) is not None:
        _set_path0(filename, always=True)
        _enter(runpy._run_module_as_main, "__main__", False)  # type: ignore[attr-defined]
        return
    _set_path0(os.path.dirname(os.path.realpath(request.target)))
    try:
        with io.open_code(filename) as file:
            data = file.read()
    except OSError as error:
        sys.stderr.write(
            f"{sys.orig_argv[0]}: can't open file {filename!r}: "
            f"[Errno {error.errno}] {error.strerror}\n"
        )
        sys.exit(2)
    names = main.__dict__
    _set_file(names, filename)
    code, names["__loader__"] = _load_file(data, filename)
    _enter(exec, code, names)
    _forget_file()


def _forget_file() -> None:
    """Take ``__file__`` out of a script's ``__main__``, as python does at its end."""
    names = sys.modules["__main__"].__dict__
    if names.get("__spec__") is None:
        names.pop("__file__", None)
        names.pop("__cached__", None)


def _run_module(request: _Request) -> None:
    """``-m``: the standard library's own way, whose frames python shows too."""
    _new_main()
    _enter(runpy._run_module_as_main, request.target)  # type: ignore[attr-defined]


def _run_command(request: _Request) -> None:
    """``-c``: the program on the command line."""
    main = _new_main()
    _set_path0("")
    source = request.target
    if sys.version_info >= (3, 14):
        import textwrap

        source = textwrap.dedent(source)
    source += "\n"
    code = _compile(source, "<string>")
    if sys.version_info >= (3, 13):
        # What makes the tracebacks of -c show their lines; kept by file name
        # at first, by code object since 3.13.1.
        key = code if hasattr(linecache, "_interactive_cache") else "<string>"
        linecache._register_code(key, source, "<string>")  # type: ignore[attr-defined]
    _enter(exec, code, main.__dict__)


def _run_stdin(request: _Request) -> None:
    """The program on stdin; at a terminal, a prompt."""
    main = _new_main()
    _set_path0("")
    if sys.stdin is None:
        return
    if sys.stdin.isatty():
        import code

        _enter(code.interact, None, None, main.__dict__, "")
        return
    names = main.__dict__
    _set_file(names, "<stdin>")
    program = _compile(sys.stdin.buffer.read(), "<stdin>")
    _enter(exec, program, names)
    _forget_file()


def _enter(call: Callable[..., object], *args: object) -> None:
    """Call into the program: what comes after this frame in a traceback is its own."""
    call(*args)


def _own(tb: types.TracebackType | None) -> types.TracebackType | None:
    """The part of a traceback that belongs to the program."""
    rest = None
    while tb is not None:
        if tb.tb_frame.f_code is _enter.__code__:
            rest = tb.tb_next
        tb = tb.tb_next
    return rest


def _depart() -> None:
    """Let the exception in flight reach the interpreter, to be shown without our frames.

    The frames that it has yet to pass are added to its traceback as it does,
    so they can be taken off only when it is printed. For that moment, and no
    earlier, ``sys.excepthook`` is one that takes them off and hands on to the
    program's own.
    """
    theirs = getattr(sys, "excepthook", None)

    def hook(kind: type[BaseException], value: BaseException, tb: Any) -> None:
        if theirs is None:
            del sys.excepthook
        else:
            sys.excepthook = theirs
        value.__traceback__ = sys.last_traceback = tb = _own(value.__traceback__)
        if theirs is None:
            sys.stderr.write("sys.excepthook is missing\n")
            sys.__excepthook__(kind, value, tb)
            return
        try:
            theirs(kind, value, tb)
        except SystemExit:
            raise
        except BaseException as error:
            # As the interpreter does for a hook that fails.
            failed = error.__traceback__.tb_next if error.__traceback__ else None
            sys.stderr.write("Error in sys.excepthook:\n")
            sys.__excepthook__(type(error), error.with_traceback(failed), failed)
            sys.stderr.write("\nOriginal exception was:\n")
            sys.__excepthook__(kind, value, tb)
        _forget_file()

    sys.excepthook = hook


_RUNNERS = {"file": _run_file, "-m": _run_module, "-c": _run_command, "stdin": _run_stdin}


def main() -> None:
    """Run what ``sys.argv`` asks for; called by ``python -m boros`` alone."""
    request = _parse(sys.argv[1:])
    sys.argv[:] = request.argv
    policy.install()
    if request.compat:
        from boros import compat

        compat.enable()
    try:
        _RUNNERS[request.kind](request)
    except SystemExit:
        # Printed only if the interpreter is to stay and look (-i).
        if sys.flags.inspect or os.environ.get("PYTHONINSPECT"):
            _depart()
        raise
    except BaseException:
        _depart()
        raise
