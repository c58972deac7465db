//! Methods in the interpreter's own calling convention, for the few that are called most: PyO3's wrappers
//! cost such a method a third of its time.
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};
use pyo3::{PyTypeInfo, ffi};

/// The arguments of one call.
pub(crate) struct Args<'a, 'py> {
    py: Python<'py>,
    positional: &'a [*mut ffi::PyObject],
    keyword_values: &'a [*mut ffi::PyObject],
    keyword_names: *mut ffi::PyObject,
}

impl<'a, 'py> Args<'a, 'py> {
    /// How many positional arguments there are.
    pub(crate) fn len(&self) -> usize {
        self.positional.len()
    }

    /// The positional argument at `index`, which `method` needs as its `name`.
    ///
    /// # Errors
    /// A `TypeError` if it is missing.
    #[inline]
    pub(crate) fn required(
        &self,
        index: usize,
        method: &str,
        name: &str,
    ) -> PyResult<Borrowed<'a, 'py, PyAny>> {
        self.get(index).ok_or_else(|| {
            PyTypeError::new_err(format!(
                "{method}() missing required positional argument: '{name}'"
            ))
        })
    }

    /// The positional argument at `index`, if there is one.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<Borrowed<'a, 'py, PyAny>> {
        // SAFETY: the caller keeps the arguments alive for the call.
        self.positional.get(index).map(|argument| unsafe { Borrowed::from_ptr(self.py, *argument) })
    }

    /// The positional arguments from `index` on.
    #[inline]
    pub(crate) fn rest(&self, index: usize) -> PyResult<Bound<'py, PyTuple>> {
        let rest = self.positional.get(index..).unwrap_or_default();
        if rest.is_empty() {
            static EMPTY: PyOnceLock<Py<PyTuple>> = PyOnceLock::new();
            let empty = EMPTY.get_or_init(self.py, || PyTuple::empty(self.py).unbind());
            return Ok(empty.bind(self.py).clone());
        }
        // SAFETY: the caller keeps the arguments alive for the call; each slot of the new tuple is filled
        // once with a reference of its own.
        unsafe {
            let tuple = Bound::from_owned_ptr_or_err(
                self.py,
                ffi::PyTuple_New(rest.len() as ffi::Py_ssize_t),
            )?;
            for (index, argument) in rest.iter().enumerate() {
                ffi::Py_INCREF(*argument);
                ffi::PyTuple_SET_ITEM(tuple.as_ptr(), index as ffi::Py_ssize_t, *argument);
            }
            Ok(tuple.cast_into_unchecked())
        }
    }

    /// Whether there are no keyword arguments.
    pub(crate) fn has_no_keywords(&self) -> bool {
        self.keyword_values.is_empty()
    }

    /// Hands each keyword to `take`, which answers whether it knows it.
    ///
    /// # Errors
    /// A `TypeError` for a keyword that is not known.
    #[inline]
    pub(crate) fn keywords(
        &self,
        method: &str,
        mut take: impl FnMut(&str, Borrowed<'a, 'py, PyAny>) -> PyResult<bool>,
    ) -> PyResult<()> {
        if self.keyword_values.is_empty() {
            return Ok(());
        }
        // SAFETY: with keyword values there is a tuple of as many names, alive for the call.
        let names = unsafe { Borrowed::from_ptr(self.py, self.keyword_names) };
        let names = names.cast::<PyTuple>()?;
        for (name, value) in names.iter().zip(self.keyword_values) {
            // SAFETY: the caller keeps the arguments alive for the call.
            let value = unsafe { Borrowed::from_ptr(self.py, *value) };
            let name: std::borrow::Cow<'_, str> = name.extract()?;
            if !take(&name, value)? {
                return Err(PyTypeError::new_err(format!(
                    "{method}() got an unexpected keyword argument '{name}'"
                )));
            }
        }
        Ok(())
    }
}

/// A method of `Self` in this convention.
pub(crate) trait FastMethod {
    /// The class that has it.
    type Class: PyTypeInfo;
    /// What it is called.
    const NAME: &'static CStr;
    /// Its signature and docstring, as the interpreter wants them in one text.
    const DOC: &'static CStr;

    /// Runs it.
    ///
    /// # Errors
    /// What the caller is to see raised.
    fn call<'py>(
        this: &Bound<'py, Self::Class>,
        args: Args<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>>;
}

unsafe extern "C" fn entry<M: FastMethod>(
    this: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    positional: ffi::Py_ssize_t,
    keyword_names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls this with the GIL held, with an object of the class (its method
    // descriptor checks that), and with as many live arguments as it says. A panic is stopped here.
    unsafe {
        let py = Python::assume_attached();
        let positional = positional as usize;
        let keywords =
            if keyword_names.is_null() { 0 } else { ffi::PyTuple_GET_SIZE(keyword_names) as usize };
        let all: &[*mut ffi::PyObject] = if args.is_null() {
            &[]
        } else {
            std::slice::from_raw_parts(args, positional + keywords)
        };
        let (positional, keyword_values) = all.split_at(positional.min(all.len()));
        let args = Args { py, positional, keyword_values, keyword_names };
        let this = Borrowed::<PyAny>::from_ptr(py, this);
        let this = this.cast_unchecked::<M::Class>();
        match catch_unwind(AssertUnwindSafe(|| M::call(&this, args))) {
            Ok(Ok(result)) => result.into_ptr(),
            Ok(Err(error)) => {
                error.restore(py);
                std::ptr::null_mut()
            }
            Err(_) => {
                PyRuntimeError::new_err("boros failed internally; please report this").restore(py);
                std::ptr::null_mut()
            }
        }
    }
}

/// Gives `class`, which is the method's class or a subclass, the method `M`.
///
/// The interpreter calls it without detours on objects of exactly the class that it is put into.
///
/// # Errors
/// What the interpreter raises.
pub(crate) fn install<M: FastMethod>(class: &Bound<'_, PyType>) -> PyResult<()> {
    // Descriptors keep a pointer to it for as long as the process lives.
    let definition: &'static mut ffi::PyMethodDef = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: M::NAME.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: entry::<M> },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: M::DOC.as_ptr(),
    }));
    // SAFETY: the GIL is held and the definition lives for ever.
    let descriptor = unsafe {
        let descriptor = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition);
        Bound::from_owned_ptr_or_err(class.py(), descriptor)?
    };
    class.setattr(M::NAME.to_string_lossy().as_ref(), descriptor)
}

/// Whether `object`, found as an attribute of a class, is the method `M`.
pub(crate) fn is_method<M: FastMethod>(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the type is checked before the object is taken for a method descriptor, whose definition lives
    // as long as it does.
    unsafe {
        if ffi::Py_IS_TYPE(object.as_ptr(), &raw mut ffi::PyMethodDescr_Type) == 0 {
            return false;
        }
        let definition = (*object.as_ptr().cast::<ffi::PyMethodDescrObject>()).d_method;
        (*definition).ml_flags == ffi::METH_FASTCALL | ffi::METH_KEYWORDS
            && (*definition).ml_meth.PyCFunctionFastWithKeywords as usize
                == entry::<M> as *const () as usize
    }
}
