//! Files and command line of the machine that debugs this one, by semihosting.

use alloc::{ffi::CString, string::String, vec, vec::Vec};
use semihosting::{
    experimental::env,
    fs,
    io::{self, Read},
};

/// Longest command line in bytes.
const LINE: usize = 1024;

/// The words of the command line after the program's name.
pub(crate) fn words() -> Vec<String> {
    let Ok(args) = env::args::<LINE>() else { return Vec::new() };
    let words = (&args).flatten().flat_map(str::split_whitespace);
    words.skip(1).map(String::from).collect()
}

/// All bytes of a file.
pub(crate) fn read(name: &str) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(path(name)?)?;
    let mut bytes = vec![0; file.metadata()?.len() as usize];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file.
pub(crate) fn write(name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::write(path(name)?, bytes)
}

fn path(name: &str) -> io::Result<CString> {
    CString::new(name).map_err(|_| io::ErrorKind::InvalidInput.into())
}
