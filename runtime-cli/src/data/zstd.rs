//! Zstandard files of any number of frames.

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, Read};

/// Largest supported window in bytes: that of `zstd --long`, and the default limit of its decoder.
const MAX_WINDOW: u64 = 128 << 20;

/// Largest window of any `zstd`; a file that asks for more is damaged.
const LONGEST: u64 = 1 << 31;

/// Decompresses all frames, skips skippable ones, and verifies checksums.
pub(crate) struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    inside: bool,
}

impl<R: BufRead> Frames<R> {
    pub(crate) fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        Self { source, decoder, inside: false }
    }

    /// Starts the next frame; false at the end of the file.
    fn enter(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skipped = io::copy(&mut (&mut self.source).take(length.into()), &mut io::sink())?;
                    if skipped < length.into() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(e) => return Err(cause(e)),
            }
        }
        Ok(false)
    }

    fn check(&self) -> io::Result<()> {
        match (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum()) {
            (Some(stored), Some(found)) if stored != found => Err(io::Error::new(io::ErrorKind::InvalidData, "its checksum is wrong")),
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.inside {
                if !self.enter()? {
                    return Ok(0);
                }
                self.inside = true;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1)).map_err(cause)?;
            }
            match self.decoder.read(out)? {
                0 if out.is_empty() => return Ok(0),
                0 => {
                    self.check()?;
                    self.inside = false;
                }
                n => return Ok(n),
            }
        }
    }
}

/// A file that another program can decompress, with these options of `zstd`.
#[derive(Debug)]
pub(crate) struct NeedsZstd {
    what: String,
    options: String,
}

impl std::fmt::Display for NeedsZstd {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "it needs {}; decompress it first: zstd -d {}", self.what, self.options)
    }
}

impl std::error::Error for NeedsZstd {}

/// The I/O error below that of the decoder, if there is one, to distinguish truncated from damaged files.
fn cause(e: FrameDecoderError) -> io::Error {
    let needs = match e {
        FrameDecoderError::WindowSizeTooBig { requested, .. } if requested <= LONGEST => {
            let bits = requested.next_power_of_two().ilog2();
            Some((format!("a window of {}", window(requested)), format!("--long={bits}")))
        }
        FrameDecoderError::DictNotProvided { dict_id } => Some((format!("the dictionary {dict_id}"), "-D DICTIONARY".into())),
        _ => None,
    };
    if let Some((what, options)) = needs {
        return io::Error::new(io::ErrorKind::Unsupported, NeedsZstd { what, options });
    }
    let mut inner: Option<&(dyn std::error::Error + 'static)> = Some(&e);
    while let Some(error) = inner {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.kind().into();
        }
        inner = error.source();
    }
    io::Error::new(io::ErrorKind::InvalidData, e.to_string())
}

/// A window size in words.
fn window(bytes: u64) -> String {
    if bytes >= 1 << 30 {
        format!("{:.3} GiB", bytes as f64 / (1u64 << 30) as f64).replace(".000", "")
    } else {
        format!("{} MiB", bytes >> 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame header (RFC 8878) with this window descriptor, and an empty last block.
    fn frame(descriptor: u8) -> Vec<u8> {
        vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, descriptor, 1, 0, 0]
    }

    #[test]
    fn a_window_beyond_the_limit_is_named_with_its_option() {
        let read = |descriptor| Frames::new(&frame(descriptor)[..]).read_to_end(&mut Vec::new());
        // Exponent in the five high bits, from 10; mantissa in eighths.
        assert_eq!(read((27 - 10) << 3).unwrap(), 0);
        let error = read((31 - 10) << 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert_eq!(error.to_string(), "it needs a window of 2 GiB; decompress it first: zstd -d --long=31");
        assert!(read((28 - 10) << 3 | 4).unwrap_err().to_string().contains("384 MiB; decompress it first: zstd -d --long=29"));
    }

    #[test]
    fn a_window_beyond_that_of_any_decoder_is_damage() {
        let single_segment = [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &[0xff; 40]].concat();
        for file in [&single_segment[..], &frame(0xff)] {
            let error = Frames::new(file).read_to_end(&mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
    }

    #[test]
    fn a_dictionary_is_named() {
        let with_dictionary = [0x28, 0xb5, 0x2f, 0xfd, 0x01, 0x50, 7, 1, 0, 0];
        let error = Frames::new(&with_dictionary[..]).read_to_end(&mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("the dictionary 7") && error.contains("-D"), "{error}");
    }
}
