//! Arguments from C: pointers become references, and what cannot be one is refused in a sentence.

use crate::status::Failure;
use std::{
    ffi::{CStr, c_char},
    ptr::{self, NonNull},
    slice, str,
};

/// A length that says: the text ends at its first NUL. `cbindgen.toml` has it for C.
pub const HH_NUL: usize = usize::MAX;

/// A text in UTF-8.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct HhText {
    /// Its bytes.
    pub data: *const c_char,
    /// How many bytes, or `HH_NUL` where the text ends at its first NUL.
    pub length: usize,
}

pub(crate) fn missing(name: &str) -> Failure {
    Failure::Argument(format!("{name} is NULL"))
}

/// The object of a handle.
///
/// # Safety
/// `handle` is NULL or points to a `T` that nothing changes meanwhile.
pub(crate) unsafe fn shared<'a, T>(name: &str, handle: *const T) -> Result<&'a T, Failure> {
    // SAFETY: the caller's promise.
    unsafe { handle.as_ref() }.ok_or_else(|| missing(name))
}

/// Where C wants a result: memory that need not be initialised.
pub(crate) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// # Safety
    /// `at` is NULL or has place for a `T` until [`set`](Self::set).
    pub(crate) unsafe fn new(name: &str, at: *mut T) -> Result<Self, Failure> {
        NonNull::new(at).map(Self).ok_or_else(|| missing(name))
    }

    pub(crate) fn set(&self, value: T) {
        // SAFETY: the promise of `new`.
        unsafe { self.0.write(value) }
    }
}

impl<T> Out<*mut T> {
    /// The same, with NULL in it until a handle is there.
    ///
    /// # Safety
    /// As [`new`](Self::new).
    pub(crate) unsafe fn handle(name: &str, at: *mut *mut T) -> Result<Self, Failure> {
        // SAFETY: the caller's promise.
        let out = unsafe { Self::new(name, at) }?;
        out.set(ptr::null_mut());
        Ok(out)
    }

    /// Gives C the ownership of `object`.
    pub(crate) fn give(&self, object: T) {
        self.set(Box::into_raw(Box::new(object)));
    }
}

/// The object of a handle.
///
/// # Safety
/// `handle` is NULL or points to a `T` that nothing else uses meanwhile.
pub(crate) unsafe fn exclusive<'a, T>(name: &str, handle: *mut T) -> Result<&'a mut T, Failure> {
    // SAFETY: the caller's promise.
    unsafe { handle.as_mut() }.ok_or_else(|| missing(name))
}

/// Elements of an array; NULL is an array of none.
///
/// # Safety
/// `data` is NULL or points to `count` elements that nothing changes meanwhile.
pub(crate) unsafe fn elements<'a, T>(name: &str, data: *const T, count: usize) -> Result<&'a [T], Failure> {
    match (data.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(missing(name)),
        // SAFETY: the caller's promise.
        (false, _) => Ok(unsafe { slice::from_raw_parts(data, count) }),
    }
}

/// A text.
///
/// # Safety
/// `data` is NULL or points to `length` bytes, or to a string that ends with NUL if `length` is [`HH_NUL`], which nothing changes meanwhile.
pub(crate) unsafe fn text<'a>(name: &str, data: *const c_char, length: usize) -> Result<&'a str, Failure> {
    let bytes = match length {
        HH_NUL if data.is_null() => return Err(missing(name)),
        // SAFETY: the caller's promise.
        HH_NUL => unsafe { CStr::from_ptr(data) }.to_bytes(),
        // SAFETY: the caller's promise.
        length => unsafe { elements(name, data.cast::<u8>(), length) }?,
    };
    str::from_utf8(bytes).map_err(|e| Failure::Argument(format!("{name} is not UTF-8 from byte {} on", e.valid_up_to())))
}

/// Frees the object of a handle; NULL is none.
///
/// # Safety
/// `of` is NULL or comes from [`Out::give`] and is not used again.
pub(crate) unsafe fn free<T>(of: *mut T) {
    if !of.is_null() {
        // SAFETY: the caller's promise.
        crate::status::quietly(|| drop(unsafe { Box::from_raw(of) }));
    }
}
