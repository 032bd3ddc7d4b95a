//! Gzip files of any number of members, possibly padded with zeros as by tapes and block devices.

use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, Read};

/// The first byte of a member.
const MAGIC: u8 = 0x1f;

/// Decompresses all members and verifies their checksums. Zeros after the last member are ignored, as `gunzip` does; anything
/// else there is an error.
pub(crate) struct Members<R> {
    state: State<R>,
}

enum State<R> {
    Between(R),
    Inside(Box<GzDecoder<R>>),
    /// After an error.
    Broken,
}

impl<R: BufRead> Members<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { state: State::Inside(Box::new(GzDecoder::new(source))) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            self.state = match std::mem::replace(&mut self.state, State::Broken) {
                State::Inside(mut member) => match member.read(out)? {
                    0 if !out.is_empty() => State::Between(member.into_inner()),
                    n => {
                        self.state = State::Inside(member);
                        return Ok(n);
                    }
                },
                State::Between(mut source) => {
                    if source.fill_buf()?.first() == Some(&0) {
                        skip_zeros(&mut source)?;
                    }
                    if source.fill_buf()?.is_empty() {
                        self.state = State::Between(source);
                        return Ok(0);
                    }
                    if source.fill_buf()?.first() != Some(&MAGIC) {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "there are other bytes after its end"));
                    }
                    State::Inside(Box::new(GzDecoder::new(source)))
                }
                State::Broken => return Err(io::Error::other("it could not be read before")),
            };
        }
    }
}

/// Skips zeros, which must extend to the end.
fn skip_zeros(source: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = source.fill_buf()?;
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.iter().any(|&byte| byte != 0) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "there are other bytes after its padding with zeros"));
        }
        let read = bytes.len();
        source.consume(read);
    }
}
