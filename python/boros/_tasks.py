"""The interpreter's record of tasks shows ours too, without an entry in it for each of them."""

from __future__ import annotations

import asyncio.tasks
import gc
import sys
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from boros._boros import Task, pending_tasks

if TYPE_CHECKING:
    _WeakSet = weakref.WeakSet[asyncio.Task[Any]]
else:
    _WeakSet = weakref.WeakSet


class AllTasks(_WeakSet):
    """The set that :func:`asyncio.all_tasks` reads, followed by the tasks of boros that are not done.

    The native side keeps a list of its own, so creating a task costs no weak reference.
    """

    def __iter__(self) -> Iterator[asyncio.Task[Any]]:
        yield from super().__iter__()
        yield from pending_tasks()

    def __len__(self) -> int:
        return super().__len__() + len(pending_tasks())

    def __contains__(self, task: object) -> bool:
        if type(task) is Task or isinstance(task, Task):
            return any(task is pending for pending in pending_tasks())
        return super().__contains__(task)


def install() -> None:
    """Give the interpreter's sets our class; whoever holds one sees our tasks from then on."""
    for tasks in _sets():
        tasks.__class__ = AllTasks


def _sets() -> Iterator[weakref.WeakSet[asyncio.Task[Any]]]:
    name = "_scheduled_tasks" if hasattr(asyncio.tasks, "_scheduled_tasks") else "_all_tasks"
    yield getattr(asyncio.tasks, name)
    if sys.version_info >= (3, 14):
        # The C module has one of its own, for tasks that are not made by it, and shows it to nobody but the
        # collector.
        for held in gc.get_referents(sys.modules.get("_asyncio")):
            if type(held) is weakref.WeakSet:
                yield held
