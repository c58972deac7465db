"""The interpreter's record of tasks shows ours too, without an entry in it for each of them."""

from __future__ import annotations

import asyncio.tasks
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
    """Give the interpreter's set our class; whoever holds the set sees our tasks from then on."""
    name = "_scheduled_tasks" if hasattr(asyncio.tasks, "_scheduled_tasks") else "_all_tasks"
    getattr(asyncio.tasks, name).__class__ = AllTasks
