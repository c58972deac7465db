//! What `add_reader` and `add_writer` were given.
use std::cell::RefCell;

type Function = Box<dyn FnMut()>;

pub(crate) struct Watch {
    /// `None` while it runs, and for good once it was removed.
    function: RefCell<Option<Function>>,
    removed: std::cell::Cell<bool>,
}

impl Watch {
    pub(crate) fn new(function: Function) -> Self {
        Watch { function: RefCell::new(Some(function)), removed: std::cell::Cell::new(false) }
    }

    /// Calls the function, unless it was removed, or is running.
    pub(crate) fn call(&self) {
        let function = self.function.borrow_mut().take();
        if let Some(mut function) = function {
            function();
            if !self.removed.get() {
                *self.function.borrow_mut() = Some(function);
            }
        }
    }

    pub(crate) fn remove(&self) {
        self.removed.set(true);
        let function = self.function.borrow_mut().take();
        drop(function);
    }
}
