"""The family of bodies in Python, and the steps asked for on stdin, traced on stdout.

A line is `body op op ...`; the answer is one line: what each step came to, and the state after it. An op is `n` (next),
`s<int>` (send), `t<letter>` (throw), `x` (throw GeneratorExit), `c` (close).
"""

import inspect
import sys


class Soft(Exception):
    pass


class Hard(Exception):
    pass


THROWN = {"S": Soft, "H": Hard}


def count():
    for n in range(3):
        yield n
    return 30


def echo():
    last = 0
    while True:
        got = yield last
        if got == 0:
            return last
        last = -1 if got is None else got


def catcher():
    caught = 0
    while True:
        try:
            got = yield caught
        except Soft:
            caught += 100
        else:
            caught += 1 if got is None else got


def finisher():
    try:
        yield 1
        yield 2
    finally:
        yield 99
    return 5


def stubborn():
    n = 0
    while n < 3:
        n += 1
        try:
            yield n
        except GeneratorExit:
            n += 10
        except Hard:
            return n
    return -n


def translates():
    try:
        got = yield 7
    except Soft:
        raise Hard
    except GeneratorExit:
        return 70
    return got


def fails():
    yield 1
    raise Hard


def exits():
    yield 1
    raise GeneratorExit


def empty():
    return 4
    yield


def over(make):
    def body():
        first = yield from make()
        yield 500 if first is None else 500 + first
        return 6

    return body


def guarded(make):
    def body():
        while True:
            try:
                got = yield from make()
            except Soft:
                yield 601
            except Hard:
                return 602
            except RuntimeError:
                yield 603
            else:
                yield 604 if got is None else got

    return body


def cleaning(make):
    def body():
        try:
            yield from make()
        except GeneratorExit:
            yield 701
            raise
        finally:
            yield 702
        return 8

    return body


def items():
    try:
        yield from [11, 12, 13]
    except AttributeError:
        yield 801
    except Soft:
        yield 802
    return 9


def started():
    inner = echo()
    yield next(inner)
    got = yield from inner
    return got


BASES = [count, echo, catcher, finisher, stubborn, translates, fails, exits, empty, items, started]
BODIES = {base.__name__: base for base in BASES}
for wrapper in (over, guarded, cleaning):
    for base in BASES:
        BODIES[f"{wrapper.__name__}.{base.__name__}"] = wrapper(base)
for outer in (over, guarded, cleaning):
    for inner in (over, guarded, cleaning):
        for base in BASES:
            BODIES[f"{outer.__name__}.{inner.__name__}.{base.__name__}"] = outer(inner(base))


def step(body, op):
    try:
        if op == "n":
            value = next(body)
        elif op == "c":
            body.close()
            return "closed"
        elif op == "x":
            value = body.throw(GeneratorExit())
        elif op[0] == "t":
            value = body.throw(THROWN[op[1]]())
        else:
            value = body.send(int(op[1:]))
    except StopIteration as stop:
        return "stop" if stop.value is None else f"return {stop.value}"
    except TypeError:
        return "not started"
    except RuntimeError:
        return "ignored"
    except BaseException as error:
        return f"raise {type(error).__name__}"
    return f"yield {value}"


def main():
    for line in sys.stdin:
        name, *ops = line.split()
        body = BODIES[name]()
        trace = [f"{step(body, op)}/{inspect.getgeneratorstate(body)[4:].lower()}" for op in ops]
        print(",".join(trace), flush=True)


# Bodies that ignore their end are reported when they are collected, which is no part of a trace.
sys.unraisablehook = lambda _: None
main()
