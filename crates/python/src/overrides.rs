//! Which methods of a loop were replaced, by a subclass or in the object: those have to be asked.
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use crate::event_loop::Loop;
use crate::fastcall;
use crate::scheduling::{CallAt, CallSoon};

const CALL_SOON: u8 = 1;
const CALL_AT: u8 = 2;
const TIME: u8 = 4;

/// The replaced methods of one loop.
pub(crate) struct Overrides(AtomicU8);

impl Overrides {
    /// Those of a new object of `class`.
    pub(crate) fn of_class(class: &Bound<'_, PyType>) -> PyResult<Self> {
        Ok(Overrides(AtomicU8::new(replaced_in_class(class)?)))
    }

    /// Looks again.
    pub(crate) fn update(&self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let py = event_loop.py();
        let mut replaced = replaced_in_class(&event_loop.get_type())?;
        let attributes = event_loop.as_any().getattr_opt(intern!(py, "__dict__"))?;
        if let Some(attributes) = attributes
            && let Ok(attributes) = attributes.cast::<PyDict>()
        {
            for (name, bit) in names(py) {
                if attributes.contains(name)? {
                    replaced |= bit;
                }
            }
        }
        self.0.store(replaced, Relaxed);
        Ok(())
    }

    /// Whether `name` is that of a method that is looked for here.
    pub(crate) fn concern(name: &Bound<'_, PyAny>) -> PyResult<bool> {
        for (known, _) in names(name.py()) {
            if name.eq(known)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn call_soon(&self) -> bool {
        self.0.load(Relaxed) & CALL_SOON != 0
    }

    pub(crate) fn call_at(&self) -> bool {
        self.0.load(Relaxed) & CALL_AT != 0
    }

    #[inline]
    pub(crate) fn time(&self) -> bool {
        self.0.load(Relaxed) & TIME != 0
    }
}

fn names(py: Python<'_>) -> [(&Bound<'_, PyString>, u8); 3] {
    [
        (intern!(py, "call_soon"), CALL_SOON),
        (intern!(py, "call_at"), CALL_AT),
        (intern!(py, "time"), TIME),
    ]
}

fn replaced_in_class(class: &Bound<'_, PyType>) -> PyResult<u8> {
    let py = class.py();
    let native = py.get_type::<Loop>();
    if class.is(&native) {
        return Ok(0);
    }
    let mut replaced = 0;
    if !fastcall::is_method::<CallSoon>(&class.getattr(intern!(py, "call_soon"))?) {
        replaced |= CALL_SOON;
    }
    if !fastcall::is_method::<CallAt>(&class.getattr(intern!(py, "call_at"))?) {
        replaced |= CALL_AT;
    }
    let time = intern!(py, "time");
    if !class.getattr(time)?.is(&native.getattr(time)?) {
        replaced |= TIME;
    }
    Ok(replaced)
}
