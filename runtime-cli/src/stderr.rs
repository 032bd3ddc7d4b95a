//! Messages on the standard error.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes a line to the standard error. A closed standard error is ignored, so that it does not end the work.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
