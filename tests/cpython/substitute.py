"""Puts an event loop implementation where CPython's tests look for asyncio's own.

Nothing of CPython's is copied: names are replaced in the imported modules of one worker process. Every replacement
counts how often a test reaches it, so that a test which never met the implementation is not taken as proof of it.
"""

import asyncio
import contextlib
import functools
import types
import unittest
from collections.abc import Callable
from typing import Any

from implementation import Implementation

# Methods in which a test builds a bare `BaseEventLoop` and mocks the parts that would wait: they get a loop of the
# implementation instead. Elsewhere BaseEventLoop stays what it is (the tests derive their own loops from it).
BARE_LOOP_MAKERS = {
    "test_base_events": ("BaseEventLoopTests", "setUp"),
    "test_pep492": ("BaseTest", "setUp"),
    "test_runners": ("BaseTest", "new_loop"),
}

# Modules whose child interpreters (`python -c ...`) create loops.
CHILD_INTERPRETERS = ("test_base_events",)


class Meter:
    """How often the running test reached the implementation."""

    def __init__(self) -> None:
        self.loops = 0
        self.classes = 0

    def reset(self) -> None:
        self.loops = 0
        self.classes = 0


class LoopStandIn:
    """What `asyncio.SelectorEventLoop` is during the run: makes loops of the implementation.

    Not a subclass of the implementation's loop, for then the tests would not run on the loop that users get.
    """

    def __init__(self, implementation: Implementation, meter: Meter) -> None:
        self._implementation = implementation
        self._meter = meter

    def __call__(self, selector: object = None) -> Any:
        self._meter.loops += 1
        return self._implementation.new_event_loop()

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._implementation.event_loop)

    def __subclasscheck__(self, subclass: type) -> bool:
        return issubclass(subclass, self._implementation.event_loop)

    def __mro_entries__(self, bases: tuple) -> tuple:
        return (self._implementation.event_loop,)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._implementation.event_loop, name)


class CountedClass:
    """A class attribute of a test case (`Task`, `Future`, `cls`), counted each time the test reads it."""

    def __init__(self, target: type, meter: Meter) -> None:
        self._target = target
        self._meter = meter

    def __get__(self, instance: object, owner: type) -> type:
        self._meter.classes += 1
        return self._target


class Substitution:
    """The implementation in place of asyncio's loop, policy, Future and Task, for this process."""

    def __init__(self, implementation: Implementation) -> None:
        self.implementation = implementation
        self.meter = Meter()
        self._own_future = asyncio.Future
        self._own_task = asyncio.Task

    def install(self) -> None:
        """Replace what the test modules bind when they are imported. Call before importing them."""
        meter, implementation = self.meter, self.implementation

        stand_in = LoopStandIn(implementation, meter)
        asyncio.SelectorEventLoop = stand_in
        if hasattr(asyncio, "EventLoop"):
            asyncio.EventLoop = stand_in

        class DefaultEventLoopPolicy(implementation.policy):
            def new_event_loop(self):
                meter.loops += 1
                return super().new_event_loop()

        # A policy of None means `asyncio.DefaultEventLoopPolicy()`, looked up when it is needed.
        asyncio.DefaultEventLoopPolicy = DefaultEventLoopPolicy
        asyncio.set_event_loop_policy(None)

        # The tests name the accelerated classes `_CFuture` and `_CTask`, at import and later.
        if implementation.future is not None:
            _count_module_attribute(asyncio.futures, "_CFuture", implementation.future, meter)
        if implementation.task is not None:
            _count_module_attribute(asyncio.tasks, "_CTask", implementation.task, meter)

    def adapt(self, module: types.ModuleType) -> None:
        """Finish the substitution in a test module that has just been imported."""
        name = module.__name__.rpartition(".")[2]
        if name == "test_tasks" and self._brings_own_classes():
            self._add_mixed_task_tests(module)
        self._count_class_attributes(module)
        if name in BARE_LOOP_MAKERS:
            case, method = BARE_LOOP_MAKERS[name]
            self._give_bare_loops(getattr(module, case), method)
        if name in CHILD_INTERPRETERS:
            self._prepare_children(module)
        if self.implementation.comparison:
            _excuse(module)

    def _brings_own_classes(self) -> bool:
        return self.implementation.task not in (None, self._own_task)

    def _add_mixed_task_tests(self, module: types.ModuleType) -> None:
        """CPython pairs its C classes with its Python ones; we also pair ours with the C ones, as programs do."""
        pairs = {
            "Task_CPythonFuture_Tests": (self.implementation.task, self._own_future),
            "CPythonTask_Future_Tests": (self._own_task, self.implementation.future),
        }
        for name, (task, future) in pairs.items():
            bases = (module.BaseTaskTests, module.test_utils.TestCase)
            # From 3.14 on the tests find the functions to ask in their class.
            functions = {
                function: vars(module.CTask_CFuture_Tests)[function]
                for function in ("all_tasks", "current_task")
                if function in vars(module.CTask_CFuture_Tests)
            }
            namespace = {
                **functions,
                "Task": task,
                "Future": future,
                "__module__": module.__name__,
                "__qualname__": name,
            }
            setattr(module, name, type(name, bases, namespace))

    def _count_class_attributes(self, module: types.ModuleType) -> None:
        ours = tuple(
            c for c in (self.implementation.future, self.implementation.task) if c is not None
        )
        for case in vars(module).values():
            if not (isinstance(case, type) and issubclass(case, unittest.TestCase)):
                continue
            for attribute, value in list(vars(case).items()):
                if isinstance(value, type) and issubclass(value, ours):
                    setattr(case, attribute, CountedClass(value, self.meter))

    def _give_bare_loops(self, case: type, method: str) -> None:
        original = getattr(case, method)

        def bare_loop() -> Any:
            self.meter.loops += 1
            return self.implementation.bare_loop()

        @functools.wraps(original)
        def with_bare_loops(test: unittest.TestCase) -> Any:
            with contextlib.ExitStack() as stack:
                for holder in (asyncio, asyncio.base_events):
                    stack.callback(setattr, holder, "BaseEventLoop", holder.BaseEventLoop)
                    holder.BaseEventLoop = bare_loop
                return original(test)

        setattr(case, method, with_bare_loops)

    def _prepare_children(self, module: types.ModuleType) -> None:
        original = module.assert_python_ok

        @functools.wraps(original)
        def with_prelude(*arguments: str, **environment: str) -> Any:
            command = list(arguments)
            if "-c" in command:
                self.meter.loops += 1
                command[command.index("-c") + 1] = (
                    self.implementation.prelude + command[command.index("-c") + 1]
                )
            return original(*command, **environment)

        module.assert_python_ok = with_prelude


def _count_module_attribute(module: types.ModuleType, name: str, value: Any, meter: Meter) -> None:
    """Make `module.name` answer `value` and count the look-ups, also those of `hasattr`."""

    def read(_: types.ModuleType) -> Any:
        meter.classes += 1
        return value

    module.__class__ = type("CountingModule", (type(module),), {name: property(read)})


def _excuse(module: types.ModuleType) -> None:
    """Spare a loop run for comparison what the tests' own housekeeping asks of it."""
    if hasattr(module, "test_utils"):
        case = module.test_utils.TestCase
        case.close_loop = staticmethod(functools.partial(_close_loop, case.close_loop))
    if mixin := getattr(module, "UnixEventLoopTestsMixin", None):
        # They do nothing but install and remove a child watcher.
        for method in ("setUp", "tearDown"):
            if method in vars(mixin):
                delattr(mixin, method)


def _close_loop(original: Callable[[Any], None], loop: Any) -> None:
    """CPython's clean-up of a loop, without `_default_executor` where there is none."""
    if hasattr(loop, "_default_executor"):
        original(loop)
        return
    if not loop.is_closed():
        loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
