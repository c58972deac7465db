//! Which methods of a loop were replaced, by a subclass or in the object: those have to be asked.
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use crate::event_loop::Loop;
use crate::fastcall;
use crate::scheduling::{CallAt, CallSoon};

const CALL_SOON: u8 = 1;
const CALL_AT: u8 = 2;
const TIME: u8 = 4;

/// The replaced methods of one loop.
///
/// The loop's `__dict__` is not looked into, which would make one: an empty one that is not there is what lets the
/// interpreter call the loop's methods without detours.
pub(crate) struct Overrides {
    in_class: AtomicU8,
    in_object: AtomicU8,
}

impl Overrides {
    /// Those of a new object of `class`.
    pub(crate) fn of_class(class: &Bound<'_, PyType>) -> PyResult<Self> {
        let in_class = AtomicU8::new(replaced_in_class(class)?);
        Ok(Overrides { in_class, in_object: AtomicU8::new(0) })
    }

    /// Looks at the class again.
    pub(crate) fn update(&self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        self.in_class.store(replaced_in_class(&event_loop.get_type())?, Relaxed);
        Ok(())
    }

    /// Takes note that the attribute `name` of the object was set, or deleted. Answers whether it is one that is looked
    /// for here.
    pub(crate) fn note(&self, name: &Bound<'_, PyAny>, is_set: bool) -> PyResult<bool> {
        for (known, bit) in names(name.py()) {
            if name.eq(known)? {
                let others = self.in_object.load(Relaxed) & !bit;
                self.in_object.store(if is_set { others | bit } else { others }, Relaxed);
                return Ok(true);
            }
        }
        Ok(false)
    }

    #[inline]
    fn has(&self, bit: u8) -> bool {
        (self.in_class.load(Relaxed) | self.in_object.load(Relaxed)) & bit != 0
    }

    pub(crate) fn call_soon(&self) -> bool {
        self.has(CALL_SOON)
    }

    pub(crate) fn call_at(&self) -> bool {
        self.has(CALL_AT)
    }

    #[inline]
    pub(crate) fn time(&self) -> bool {
        self.has(TIME)
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
