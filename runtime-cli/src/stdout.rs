//! The standard output.

use crate::files::remedy;
use std::io::{self, StdoutLock, Write};

/// The standard output, whose errors say that they are its own.
pub struct Stdout(StdoutLock<'static>);

/// Locks the standard output until the value is dropped.
pub fn lock() -> Stdout {
    Stdout(io::stdout().lock())
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(named)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(named)
    }
}

/// Keeps the kind: an interrupted write is repeated, and a closed pipe is no failure.
fn named(e: io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("cannot write to the standard output: {}", remedy(&e)))
}
