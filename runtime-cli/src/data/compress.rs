//! Writing compressed files.

use super::source::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress};
use std::io::{self, Write};

/// Bytes that are compressed as one Zstandard frame.
const FRAME: usize = 4 << 20;

/// Compresses what is written to it.
pub(crate) enum Encoder<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
    /// Frames one after another, each compressed at once.
    Zstandard {
        out: W,
        frame: Vec<u8>,
    },
}

impl<W: Write> Encoder<W> {
    pub(crate) fn new(compression: Compression, out: W) -> Self {
        match compression {
            Compression::None => Self::Plain(out),
            Compression::Gzip => Self::Gzip(GzEncoder::new(out, flate2::Compression::default())),
            Compression::Zstandard => Self::Zstandard { out, frame: Vec::new() },
        }
    }

    /// Writes what is left, and returns the writer below.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstandard { mut out, frame } => {
                write_frame(&mut out, &frame)?;
                Ok(out)
            }
        }
    }
}

fn write_frame(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let mut frame = Vec::new();
    compress(bytes, &mut frame, CompressionLevel::Fastest);
    out.write_all(&frame)
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstandard { out, frame } => {
                let taken = bytes.len().min(FRAME - frame.len());
                frame.extend_from_slice(&bytes[..taken]);
                if frame.len() == FRAME {
                    write_frame(out, frame)?;
                    frame.clear();
                }
                Ok(taken)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            // A frame is written when it is full, or at the end.
            Self::Zstandard { .. } => Ok(()),
        }
    }
}
