//! The loop's scheduling methods: `call_soon` and its like, `create_future`, `create_task`.
use std::ffi::CStr;

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::event_loop::Loop;
use crate::fastcall::{self, Args, FastMethod};
use crate::future::Future;
use crate::handle::Handle;
use crate::job::Job;
use crate::pool;
use crate::task::Task;

/// The arguments of `call_soon` and its like, however they were passed.
struct Call<'a, 'py> {
    /// `delay` or `when`, where the method has it.
    time: Option<Borrowed<'a, 'py, PyAny>>,
    callback: Borrowed<'a, 'py, PyAny>,
    /// Where the callback's own arguments start.
    rest: usize,
    context: Option<Py<PyAny>>,
}

impl<'a, 'py> Call<'a, 'py> {
    /// Sorts out the arguments of `method`, whose first one is called `time` if it has such.
    ///
    /// # Errors
    /// A `TypeError` for what is missing, not known, or given twice.
    #[inline(always)]
    fn extract(
        args: &Args<'a, 'py>,
        method: &'static str,
        time: Option<&'static str>,
    ) -> PyResult<Self> {
        let places = usize::from(time.is_some());
        if !args.has_no_keywords() || args.len() <= places {
            return Call::extract_keywords(args, method, time);
        }
        Ok(Call {
            time: if time.is_some() { args.get(0) } else { None },
            callback: args.required(places, method, "callback")?,
            rest: places + 1,
            context: None,
        })
    }

    #[cold]
    fn extract_keywords(
        args: &Args<'a, 'py>,
        method: &'static str,
        time: Option<&'static str>,
    ) -> PyResult<Self> {
        let places = usize::from(time.is_some());
        let mut named_time = None;
        let mut callback = None;
        let mut context = None;
        args.keywords(method, |name, value| {
            let place = match name {
                "context" => {
                    context = Some(value.to_owned().unbind());
                    return Ok(true);
                }
                "callback" => {
                    callback = Some(value);
                    places
                }
                _ if Some(name) == time => {
                    named_time = Some(value);
                    0
                }
                _ => return Ok(false),
            };
            if place < args.len() {
                return Err(PyTypeError::new_err(format!(
                    "{method}() got multiple values for argument '{name}'"
                )));
            }
            Ok(true)
        })?;
        let time = match (time, named_time) {
            (Some(name), None) => Some(args.required(0, method, name)?),
            (_, named) => named,
        };
        let callback = match callback {
            Some(callback) => callback,
            None => args.required(places, method, "callback")?,
        };
        Ok(Call { time, callback, rest: places + 1, context })
    }

    /// The time, which is not None.
    ///
    /// # Errors
    /// A `TypeError` with `message` for None.
    fn time(&self, message: &'static str) -> PyResult<Borrowed<'a, 'py, PyAny>> {
        self.time.filter(|time| !time.is_none()).ok_or_else(|| PyTypeError::new_err(message))
    }
}

/// A handle that is about to be queued.
///
/// Most are forgotten by the caller and gone within a turn. While the loop runs it is alive, and with it all that its
/// queue refers to, so the collector need not see a handle before it outlives its job: see `Handle::run` and
/// `Loop::_run`.
#[inline]
fn new_handle<'py>(this: &Bound<'py, Loop>, handle: Handle) -> PyResult<Bound<'py, Handle>> {
    if this.get().is_running_anywhere() {
        pool::create_untracked(this.py(), handle)
    } else {
        pool::create(this.py(), handle)
    }
}

/// `call_soon`.
pub(crate) struct CallSoon;

impl FastMethod for CallSoon {
    type Class = Loop;
    const NAME: &'static CStr = c"call_soon";
    const DOC: &'static CStr = c"call_soon($self, callback, *args, context=None)\n--\n\n\
        Has ``callback(*args)`` called in the loop's next turn, in ``context`` or a copy of the\n\
        current one. Returns a handle.";

    fn call<'py>(this: &Bound<'py, Loop>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let Call { callback, rest, context, .. } = Call::extract(&args, "call_soon", None)?;
        let handle = Loop::make_handle(this, &callback, args.rest(rest)?, context, "call_soon")?;
        let handle = new_handle(this, handle)?;
        this.get().push(this.py(), Job::Handle(handle.clone().unbind()));
        Ok(handle.into_any())
    }
}

struct CallSoonThreadsafe;

impl FastMethod for CallSoonThreadsafe {
    type Class = Loop;
    const NAME: &'static CStr = c"call_soon_threadsafe";
    const DOC: &'static CStr =
        c"call_soon_threadsafe($self, callback, *args, context=None)\n--\n\n\
        Like :meth:`call_soon`, and may be called from any thread: it wakes the loop.";

    fn call<'py>(this: &Bound<'py, Loop>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let method = "call_soon_threadsafe";
        let Call { callback, rest, context, .. } = Call::extract(&args, method, None)?;
        let handle = Loop::make_handle(this, &callback, args.rest(rest)?, context, method)?;
        if cfg!(Py_3_14) {
            handle.share();
        }
        let handle = new_handle(this, handle)?;
        let job = Job::Handle(handle.clone().unbind());
        // The GIL orders this with everything else that is queued; only the wait has to be ended.
        this.get().engine(this.py(), |engine| {
            engine.push(job);
            engine.inbox().wake();
        });
        Ok(handle.into_any())
    }
}

struct CallLater;

impl FastMethod for CallLater {
    type Class = Loop;
    const NAME: &'static CStr = c"call_later";
    const DOC: &'static CStr = c"call_later($self, delay, callback, *args, context=None)\n--\n\n\
        Has ``callback(*args)`` called ``delay`` seconds from now. Returns a handle.";

    fn call<'py>(this: &Bound<'py, Loop>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let call = Call::extract(&args, "call_later", Some("delay"))?;
        let delay = call.time("delay must not be None")?;
        let when = Loop::now_secs(this)? + delay.extract::<f64>()?;
        let rest = args.rest(call.rest)?;
        if this.get().overrides().call_at() {
            return ask_call_at(this, when, &call.callback, &rest, call.context);
        }
        let timer =
            Loop::schedule_at(this, when, &call.callback, rest, call.context, "call_later")?;
        Ok(timer.into_any())
    }
}

/// Hands what `call_later` was given to the method that stands in for `call_at`.
fn ask_call_at<'py>(
    this: &Bound<'py, Loop>,
    when: f64,
    callback: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    context: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let mut all = vec![when.into_pyobject(py)?.into_any(), callback.clone()];
    all.extend(args.iter());
    let kwargs = PyDict::new(py);
    kwargs.set_item(intern!(py, "context"), context)?;
    this.call_method(intern!(py, "call_at"), PyTuple::new(py, all)?, Some(&kwargs))
}

/// `call_at`.
pub(crate) struct CallAt;

impl FastMethod for CallAt {
    type Class = Loop;
    const NAME: &'static CStr = c"call_at";
    const DOC: &'static CStr = c"call_at($self, when, callback, *args, context=None)\n--\n\n\
        Has ``callback(*args)`` called at the time ``when`` of the loop's clock, in seconds.\n\
        Returns a handle.";

    fn call<'py>(this: &Bound<'py, Loop>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let call = Call::extract(&args, "call_at", Some("when"))?;
        let when = call.time("when cannot be None")?.extract::<f64>()?;
        let rest = args.rest(call.rest)?;
        let timer = Loop::schedule_at(this, when, &call.callback, rest, call.context, "call_at")?;
        Ok(timer.into_any())
    }
}

struct CreateFuture;

impl FastMethod for CreateFuture {
    type Class = Loop;
    const NAME: &'static CStr = c"create_future";
    const DOC: &'static CStr = c"create_future($self, /)\n--\n\nA future of this loop.";

    fn call<'py>(this: &Bound<'py, Loop>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        if args.len() > 0 {
            return Err(PyTypeError::new_err("create_future() takes no arguments"));
        }
        args.keywords("create_future", |_, _| Ok(false))?;
        Ok(pool::create::<Future>(this.py(), Future::of_loop(this)?)?.into_any())
    }
}

struct CreateTask;

impl FastMethod for CreateTask {
    type Class = Loop;
    const NAME: &'static CStr = c"create_task";
    const DOC: &'static CStr = c"create_task($self, coro, **kwargs)\n--\n\n\
        Wraps a coroutine in a task of this loop and schedules it. Keywords: ``name``,\n\
        ``context``, ``eager_start``.\n\n\
        Raises :exc:`TypeError` for what is no coroutine, and :exc:`RuntimeError` if the loop is\n\
        closed.";

    fn call<'py>(this: &Bound<'py, Loop>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let event_loop = this.get();
        event_loop.check_open()?;
        if args.len() > 1 {
            return Err(PyTypeError::new_err(
                "create_task() takes 1 positional argument: the coroutine",
            ));
        }
        if let Some(factory) = event_loop.task_factory(this.py()) {
            return run_factory(this, &factory, &args);
        }
        let options = TaskOptions::extract(&args)?;
        let coro = match &options.coro {
            Some(coro) => coro.as_borrowed(),
            None => args.required(0, "create_task", "coro")?,
        };
        let name = options.name.as_ref();
        let task = Task::spawn(this, &coro, name, options.context, options.eager_start)?;
        Ok(task.into_any())
    }
}

/// The keywords of `create_task`.
#[derive(Default)]
struct TaskOptions<'py> {
    coro: Option<Bound<'py, PyAny>>,
    name: Option<Bound<'py, PyAny>>,
    context: Option<Py<PyAny>>,
    eager_start: bool,
}

impl<'py> TaskOptions<'py> {
    fn extract(args: &Args<'_, 'py>) -> PyResult<Self> {
        let mut options = TaskOptions::default();
        args.keywords("create_task", |keyword, value| {
            match keyword {
                "coro" => options.coro = Some(value.to_owned()),
                "name" => options.name = Some(value.to_owned()),
                "context" => options.context = Some(value.to_owned().unbind()),
                "eager_start" => options.eager_start = value.is_truthy()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(options)
    }
}

/// Has the program's own factory make the task, with the arguments that its Python version passes.
fn run_factory<'py>(
    this: &Bound<'py, Loop>,
    factory: &Bound<'py, PyAny>,
    args: &Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let version = py.version_info();
    if version >= (3, 13, 3) {
        let kwargs = PyDict::new(py);
        args.keywords("create_task", |keyword, value| {
            kwargs.set_item(keyword, value).map(|()| true)
        })?;
        let coro = match kwargs.get_item("coro")? {
            Some(coro) => coro,
            None => args.required(0, "create_task", "coro")?.to_owned(),
        };
        return factory.call((this, coro), Some(&kwargs));
    }
    // Before, only the context was passed on, and the name was set afterwards.
    let options = TaskOptions::extract(args)?;
    let coro = match options.coro {
        Some(coro) => coro,
        None => args.required(0, "create_task", "coro")?.to_owned(),
    };
    let task = match options.context {
        Some(context) if !context.is_none(py) => {
            let kwargs = PyDict::new(py);
            kwargs.set_item(intern!(py, "context"), context)?;
            factory.call((this, coro), Some(&kwargs))?
        }
        _ => factory.call1((this, coro))?,
    };
    if version >= (3, 13) {
        task.call_method1(intern!(py, "set_name"), (options.name,))?;
    } else if let Some(name) = options.name.filter(|name| !name.is_none())
        && let Some(set_name) = task.getattr_opt(intern!(py, "set_name"))?
    {
        set_name.call1((name,))?;
    }
    Ok(task)
}

/// Puts the methods into `class`: the native class, or a subclass of it that is to call them faster.
///
/// # Errors
/// What the interpreter raises.
fn install(class: &Bound<'_, PyType>) -> PyResult<()> {
    fastcall::install::<CallSoon>(class)?;
    fastcall::install::<CallSoonThreadsafe>(class)?;
    fastcall::install::<CallLater>(class)?;
    fastcall::install::<CallAt>(class)?;
    fastcall::install::<CreateFuture>(class)?;
    fastcall::install::<CreateTask>(class)
}

/// Puts the scheduling methods of the native loop into ``cls`` itself.
#[pyfunction]
fn install_scheduling(cls: &Bound<'_, PyType>) -> PyResult<()> {
    if !cls.is_subclass_of::<Loop>()? {
        return Err(PyTypeError::new_err(format!("a subclass of Loop was expected, got {cls}")));
    }
    install(cls)
}

/// Registers what this module has for Python, and puts the methods into the native class.
///
/// # Errors
/// What the interpreter raises.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(install_scheduling, m)?)?;
    install(&m.py().get_type::<Loop>())
}
