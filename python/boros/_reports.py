"""Where exceptions go that no caller can catch.

The logger is looked up where asyncio keeps it, at each use: programs and tests replace it there.
"""

from __future__ import annotations

import contextvars
import traceback
from asyncio import base_events
from typing import TYPE_CHECKING, Any

from boros._part import Part

if TYPE_CHECKING:
    from boros._part import ExceptionHandler, Report


class Reports(Part):
    """The exception handler of a loop."""

    _exception_handler: ExceptionHandler | None

    def get_exception_handler(self) -> ExceptionHandler | None:
        """Return what was given to :meth:`set_exception_handler`, or None."""
        return self._exception_handler

    def set_exception_handler(self, handler: ExceptionHandler | None) -> None:
        """Have ``handler(loop, context)`` called for exceptions that nobody can catch.

        None brings the default back, which logs them. Raises :exc:`TypeError` for what is not callable.
        """
        if handler is not None and not callable(handler):
            raise TypeError(f"A callable object or None is expected, got {handler!r}")
        self._exception_handler = handler

    def default_exception_handler(self, context: Report) -> None:
        """Log ``context`` as an error: its message, its other entries, and the exception."""
        message = context.get("message") or "Unhandled exception in event loop"
        exception = context.get("exception")
        if exception is not None:
            exc_info: Any = (type(exception), exception, exception.__traceback__)
        else:
            exc_info = False
        if (
            "source_traceback" not in context
            and self._current_handle is not None
            and self._current_handle._source_traceback
        ):
            context["handle_traceback"] = self._current_handle._source_traceback
        lines = [message]
        for key in sorted(context):
            if key in {"message", "exception"}:
                continue
            value = context[key]
            if key == "source_traceback":
                stack = _format_stack(value)
                value = f"Object created at (most recent call last):\n{stack}"
            elif key == "handle_traceback":
                stack = _format_stack(value)
                value = f"Handle created at (most recent call last):\n{stack}"
            else:
                value = repr(value)
            lines.append(f"{key}: {value}")
        base_events.logger.error(  # type: ignore[attr-defined]
            "\n".join(lines), exc_info=exc_info
        )

    def call_exception_handler(self, context: Report) -> None:
        """Hand ``context`` to the exception handler. Never raises an :exc:`Exception` itself.

        Keys: ``message``, and where they apply ``exception``, ``future``, ``task``, ``handle``,
        ``protocol``, ``transport``, ``socket``, ``source_traceback``, ``asyncgen``.
        """
        if self._exception_handler is None:
            try:
                self.default_exception_handler(context)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException:
                # A subclass may have replaced it.
                base_events.logger.error(  # type: ignore[attr-defined]
                    "Exception in default exception handler", exc_info=True
                )
            return
        try:
            # The handler sees the context variables of what failed.
            subject = context.get("task") or context.get("future") or context.get("handle")
            get_context = getattr(subject, "get_context", None)
            variables = get_context() if get_context is not None else None
            if variables is not None and hasattr(variables, "run"):
                self._call_handler_in(variables, self._exception_handler, context)
            else:
                self._exception_handler(self, context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as failure:
            try:
                self.default_exception_handler(
                    {
                        "message": "Unhandled error in exception handler",
                        "exception": failure,
                        "context": context,
                    }
                )
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException:
                base_events.logger.error(  # type: ignore[attr-defined]
                    "Exception in default exception handler "
                    "while handling an unexpected error "
                    "in custom exception handler",
                    exc_info=True,
                )

    def _call_handler_in(
        self, variables: contextvars.Context, handler: ExceptionHandler, context: Report
    ) -> None:
        called = False

        def call() -> None:
            nonlocal called
            called = True
            handler(self, context)

        try:
            variables.run(call)
        except RuntimeError:
            if called:
                raise
            # They are in use: that may be the very thing to report.
            call()


def _format_stack(stack: traceback.StackSummary) -> str:
    try:
        return "".join(traceback.format_list(stack)).rstrip()
    except ImportError:
        # The interpreter is shutting down and can read no sources any more.
        lines = [f'  File "{frame[0]}", line {frame[1]}, in {frame[2]}' for frame in stack]
        return "\n".join(lines)
