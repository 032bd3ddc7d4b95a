//! What a call returns, and the sentence behind it.

use hh_core::error::Error as Core;
use rust::Error;
use std::{
    cell::RefCell,
    ffi::{CString, c_char},
    panic::{AssertUnwindSafe, catch_unwind},
};

/// What became of a call. Where it is negative, `hh_last_error` says what is wrong, where, and what to do.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(non_camel_case_types, reason = "the names of C")]
pub enum HhStatus {
    /// It is done.
    HH_OK = 0,
    /// The generated text has ended; there is no further piece.
    HH_END = 1,
    /// An argument, a text, a checkpoint or a state is wrong.
    HH_INPUT = -1,
    /// A file or folder cannot be read.
    HH_FILE = -2,
    /// Memory is short or the device failed.
    HH_DEVICE = -3,
    /// A defect of the library. The handles of the call must not be used any more, but be freed.
    HH_DEFECT = -4,
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Why a call cannot do what it is asked for.
pub(crate) enum Failure {
    /// An argument is wrong, in a sentence.
    Argument(String),
    /// An error of the library.
    Library(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl From<Core> for Failure {
    fn from(error: Core) -> Self {
        Self::Library(error.into())
    }
}

impl Failure {
    fn status(&self) -> HhStatus {
        match self {
            Self::Library(Error::File { .. } | Error::Folder(_)) => HhStatus::HH_FILE,
            Self::Library(Error::Core(Core::Device(_))) => HhStatus::HH_DEVICE,
            Self::Library(Error::Checkpoint { source, .. }) if matches!(**source, Error::Core(Core::Device(_))) => HhStatus::HH_DEVICE,
            _ => HhStatus::HH_INPUT,
        }
    }

    fn sentence(self) -> String {
        match self {
            Self::Argument(sentence) => sentence,
            Self::Library(error) => error.to_string(),
        }
    }
}

fn remember(sentence: String) {
    // A name of a file may have a NUL, and C's strings end there.
    let sentence = CString::new(sentence.replace('\0', "\u{fffd}")).unwrap_or_default();
    LAST.with(|last| *last.borrow_mut() = sentence);
}

/// Runs the body of a function of the interface: errors become a status and a sentence, and so do panics.
pub(crate) fn guard(body: impl FnOnce() -> Result<HhStatus, Failure>) -> HhStatus {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(status)) => status,
        Ok(Err(failure)) => {
            let status = failure.status();
            remember(failure.sentence());
            status
        }
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            remember(format!("a defect of hh: {}; please report it", message.unwrap_or("no message")));
            // What a panic carries may panic when it is dropped.
            std::mem::forget(panic);
            HhStatus::HH_DEFECT
        }
    }
}

/// Runs the body of a function that cannot fail for its caller, such as one that frees: a panic has no effect.
pub(crate) fn quietly(body: impl FnOnce()) {
    guard(|| {
        body();
        Ok(HhStatus::HH_OK)
    });
}

/// The sentence of this thread's last call that failed: UTF-8, valid until the next call that fails on this thread; empty if none did.
#[unsafe(no_mangle)]
pub extern "C" fn hh_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn last() -> String {
        // SAFETY: a string of `LAST`, which no call replaces here.
        unsafe { CStr::from_ptr(hh_last_error()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_panic_becomes_a_status_and_a_sentence() {
        assert_eq!(guard(|| panic!("index {} of 3", 7)), HhStatus::HH_DEFECT);
        assert_eq!(last(), "a defect of hh: index 7 of 3; please report it");
        assert_eq!(guard(|| Err(Failure::Argument("a\0b".into()))), HhStatus::HH_INPUT);
        assert_eq!(last(), "a\u{fffd}b");
        std::thread::spawn(|| assert_eq!(last(), "")).join().unwrap();
    }
}
