//! What we use of the interpreter's own asyncio: looked up once.
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};

/// Objects of the modules `asyncio` and `_asyncio`.
pub(crate) struct Asyncio {
    pub(crate) cancelled_error: Py<PyType>,
    pub(crate) invalid_state_error: Py<PyType>,
    pub(crate) future_class: Py<PyType>,
    pub(crate) task_class: Py<PyType>,
    pub(crate) handle_class: Py<PyType>,
    pub(crate) timer_handle_class: Py<PyType>,
    /// Where the interpreter has it: from 3.14 on.
    pub(crate) thread_safe_handle_class: Option<Py<PyType>>,
    pub(crate) transport_class: Py<PyType>,
    pub(crate) read_transport_class: Py<PyType>,
    pub(crate) buffered_protocol_class: Py<PyType>,
    pub(crate) iscoroutine: Py<PyAny>,
    /// The module `asyncio.events`: its functions are looked up at each use, since programs replace them.
    events: Py<PyModule>,
    pub(crate) extract_stack: Py<PyAny>,
    pub(crate) format_callback_source: Py<PyAny>,
    pub(crate) future_repr: Py<PyAny>,
    pub(crate) task_repr: Py<PyAny>,
    pub(crate) task_get_stack: Py<PyAny>,
    pub(crate) task_print_stack: Py<PyAny>,
    /// Up to 3.13 a dict from loop to task; from 3.14 on the function that swaps the thread's record.
    pub(crate) current_tasks: Py<PyAny>,
}

static ASYNCIO: PyOnceLock<Asyncio> = PyOnceLock::new();

impl Asyncio {
    #[inline]
    pub(crate) fn get(py: Python<'_>) -> PyResult<&'static Asyncio> {
        match ASYNCIO.get(py) {
            Some(asyncio) => Ok(asyncio),
            None => ASYNCIO.get_or_try_init(py, || Asyncio::import(py)),
        }
    }

    fn import(py: Python<'_>) -> PyResult<Asyncio> {
        let asyncio = py.import("asyncio")?;
        let class = |name: &str| -> PyResult<Py<PyType>> {
            Ok(asyncio.getattr(name)?.cast_into::<PyType>()?.unbind())
        };
        let function = |module: &str, name: &str| -> PyResult<Py<PyAny>> {
            Ok(py.import(module)?.getattr(name)?.unbind())
        };
        Ok(Asyncio {
            cancelled_error: class("CancelledError")?,
            invalid_state_error: class("InvalidStateError")?,
            future_class: class("Future")?,
            task_class: class("Task")?,
            handle_class: class("Handle")?,
            timer_handle_class: class("TimerHandle")?,
            thread_safe_handle_class: py
                .import("asyncio.events")?
                .getattr_opt("_ThreadSafeHandle")?
                .map(|class| class.cast_into::<PyType>().map(Bound::unbind))
                .transpose()?,
            transport_class: class("Transport")?,
            read_transport_class: class("ReadTransport")?,
            buffered_protocol_class: class("BufferedProtocol")?,
            iscoroutine: function("asyncio.coroutines", "iscoroutine")?,
            events: py.import("asyncio.events")?.unbind(),
            extract_stack: function("asyncio.format_helpers", "extract_stack")?,
            format_callback_source: function("asyncio.format_helpers", "_format_callback_source")?,
            future_repr: function("asyncio.base_futures", "_future_repr")?,
            task_repr: function("asyncio.base_tasks", "_task_repr")?,
            task_get_stack: function("asyncio.base_tasks", "_task_get_stack")?,
            task_print_stack: function("asyncio.base_tasks", "_task_print_stack")?,
            #[cfg(not(Py_3_14))]
            current_tasks: function("asyncio.tasks", "_current_tasks")?,
            #[cfg(Py_3_14)]
            current_tasks: function("asyncio.tasks", "_swap_current_task")?,
        })
    }
}

/// The stack of the Python caller, as debug mode keeps it with what it creates.
pub(crate) fn extract_stack(py: Python<'_>) -> PyResult<Py<PyAny>> {
    Asyncio::get(py)?.extract_stack.call0(py)
}

/// An `asyncio.InvalidStateError`.
pub(crate) fn invalid_state(py: Python<'_>, message: String) -> PyErr {
    match Asyncio::get(py) {
        Ok(asyncio) => PyErr::from_type(asyncio.invalid_state_error.bind(py).clone(), (message,)),
        Err(error) => error,
    }
}

/// The loop to use where the caller named none.
pub(crate) fn default_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Asyncio::get(py)?.events.bind(py).call_method0(intern!(py, "get_event_loop"))
}

/// The loop that runs in this thread, or None.
pub(crate) fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Asyncio::get(py)?.events.bind(py).call_method0(intern!(py, "_get_running_loop"))
}

/// Says which loop runs in this thread.
pub(crate) fn set_running_loop(py: Python<'_>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
    let events = Asyncio::get(py)?.events.bind(py);
    events.call_method1(intern!(py, "_set_running_loop"), (event_loop,)).map(drop)
}

/// Whether `exception` may not be kept in a task or reported: it must leave the loop.
pub(crate) fn must_propagate(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<pyo3::exceptions::PyKeyboardInterrupt>(py)
        || error.is_instance_of::<pyo3::exceptions::PySystemExit>(py)
}

/// Makes `task` the loop's current one, or none. Answers the one before.
///
/// # Errors
/// On 3.14 and later, a `RuntimeError` when `event_loop` is not the thread's running loop.
pub(crate) fn swap_current_task<'py>(
    py: Python<'py>,
    event_loop: &Bound<'py, PyAny>,
    task: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let current = Asyncio::get(py)?.current_tasks.bind(py);
    #[cfg(Py_3_14)]
    {
        let none = py.None().into_bound(py);
        let before = current.call1((event_loop, task.unwrap_or(&none)))?;
        Ok(Some(before).filter(|task| !task.is_none()))
    }
    #[cfg(not(Py_3_14))]
    {
        use pyo3::types::PyDict;
        let tasks = current.cast::<PyDict>()?;
        let before = tasks.get_item(event_loop)?;
        match task {
            Some(task) => tasks.set_item(event_loop, task)?,
            None if before.is_some() => tasks.del_item(event_loop)?,
            None => {}
        }
        Ok(before)
    }
}

/// Makes `task` the loop's current one for one step.
///
/// # Errors
/// A `RuntimeError` when another task of the loop is being executed.
pub(crate) fn enter_task<'py>(
    py: Python<'py>,
    event_loop: &Bound<'py, PyAny>,
    task: &Bound<'py, PyAny>,
) -> PyResult<()> {
    if let Some(other) = swap_current_task(py, event_loop, Some(task))? {
        swap_current_task(py, event_loop, Some(&other))?;
        return Err(PyRuntimeError::new_err(format!(
            "Cannot enter into task {} while another task {} is being executed.",
            task.repr()?,
            other.repr()?
        )));
    }
    Ok(())
}

/// Calls the interpreter's formatter for `callback(*args)` with the place where it is defined.
pub(crate) fn format_callback(
    py: Python<'_>,
    callback: &Bound<'_, PyAny>,
    args: &Bound<'_, PyTuple>,
    debug: bool,
) -> PyResult<String> {
    let format = Asyncio::get(py)?.format_callback_source.bind(py);
    let kwargs = pyo3::types::PyDict::new(py);
    if cfg!(Py_3_13) {
        kwargs.set_item("debug", debug)?;
    }
    format.call((callback, args), Some(&kwargs))?.extract()
}

/// Hands `context` to the loop's exception handler.
pub(crate) fn call_exception_handler(
    event_loop: &Bound<'_, PyAny>,
    context: &Bound<'_, pyo3::types::PyDict>,
) -> PyResult<()> {
    event_loop.call_method1(intern!(event_loop.py(), "call_exception_handler"), (context,))?;
    Ok(())
}

/// asyncio's logger.
pub(crate) fn logger(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("asyncio.log")?.getattr("logger")
}
