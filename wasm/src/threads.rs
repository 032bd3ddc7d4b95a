//! Threads of a page: Web Workers that run this module on the same memory.
//!
//! What a thread has to do waits here until a worker comes for it. Where memory is not shared, no worker ever does.

use hh_cpu::Threads;
use std::{
    cell::RefCell,
    sync::{Mutex, PoisonError},
};
use wasm_bindgen::prelude::*;

static LIVES: Mutex<Vec<Box<dyn FnOnce() + Send>>> = Mutex::new(Vec::new());

thread_local! {
    static THREADS: RefCell<Threads> = const { RefCell::new(Threads::one()) };
}

/// Shares the work of models that are loaded later among `threads`, the calling one among them. Each of the others must
/// call [`work`].
#[wasm_bindgen]
pub fn hire(threads: usize) {
    let start = |life| {
        LIVES.lock().unwrap_or_else(PoisonError::into_inner).push(life);
        true
    };
    THREADS.set(Threads::started_by(threads, start));
}

/// Works for the thread that [hired](hire), and does not come back before it lets go.
#[wasm_bindgen]
pub fn work() {
    let life = LIVES.lock().unwrap_or_else(PoisonError::into_inner).pop();
    if let Some(life) = life {
        life();
    }
}

/// Those that were hired.
pub(crate) fn hired() -> Threads {
    THREADS.with_borrow(Clone::clone)
}
