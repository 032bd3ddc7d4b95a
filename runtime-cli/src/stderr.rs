//! Words for people, beside the output.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes a line to the standard error. No work ends because nobody reads it any more, so a failure is none.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
