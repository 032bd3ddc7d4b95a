//! NumPy's format for one array: magic bytes, a version, a header that is a Python dictionary, and the elements.
//!
//! The layout is that of NumPy's `numpy.lib.format`. Existing crates depend on a parser generator that needs a C compiler.

use anyhow::{Context, Result, bail};
use std::io::{self, Write};

const MAGIC: &[u8] = b"\x93NUMPY";
/// The elements start at a multiple of this many bytes.
const ALIGNMENT: usize = 64;

/// A parsed header.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    /// NumPy's name of the data type, such as `<f4`.
    pub(super) descr: String,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
    /// Offset of the elements in bytes.
    pub(super) start: usize,
}

/// Parses the header at the start of a file.
pub(super) fn parse_header(bytes: &[u8]) -> Result<Header> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else { bail!("it does not begin with NumPy's magic bytes") };
    let (length_bytes, length) = match *rest {
        [1, _, a, b, ..] => (2, usize::from(u16::from_le_bytes([a, b]))),
        [2 | 3, _, a, b, c, d, ..] => (4, u32::from_le_bytes([a, b, c, d]) as usize),
        [version, ..] => bail!("it has format version {version}; supported are 1 to 3"),
        [] => bail!("it is cut off"),
    };
    let before = MAGIC.len() + 2 + length_bytes;
    let header = bytes.get(before..before.saturating_add(length)).context("it is cut off")?;
    let header = std::str::from_utf8(header).ok().context("its header is not text")?;
    let descr = after(header, "descr")?.strip_prefix(['\'', '"']).and_then(|rest| rest.split_once(['\'', '"']));
    let (descr, _) = descr.context("its data type is not a simple type")?;
    let order = after(header, "fortran_order")?;
    let fortran_order = order.starts_with("True");
    if !fortran_order && !order.starts_with("False") {
        bail!("its header has no valid fortran_order");
    }
    let shape = after(header, "shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let parsed =
        |sizes: &str| sizes.split(',').map(str::trim).filter(|size| !size.is_empty()).map(str::parse).collect::<Result<_, _>>().ok();
    let shape = parsed(shape.context("its header has no shape")?.0).context("its header's shape is not a tuple of integers")?;
    Ok(Header { descr: descr.to_owned(), fortran_order, shape, start: before + length })
}

/// The text after a key of the dictionary.
fn after<'a>(header: &'a str, key: &str) -> Result<&'a str> {
    let at = ['\'', '"'].iter().find_map(|quote| header.split_once(&format!("{quote}{key}{quote}")));
    let value = at.and_then(|(_, rest)| rest.trim_start().strip_prefix(':'));
    Ok(value.with_context(|| format!("its header has no {key}"))?.trim_start())
}

/// Types of elements that can be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NpyKind {
    /// f32, little-endian.
    F32,
    /// f16, little-endian.
    F16,
    /// i8.
    I8,
    /// u8.
    U8,
}

impl NpyKind {
    /// NumPy's name.
    fn descr(self) -> &'static str {
        match self {
            Self::F32 => "<f4",
            Self::F16 => "<f2",
            Self::I8 => "|i1",
            Self::U8 => "|u1",
        }
    }
}

/// Writes an array `[rows, columns]`.
pub struct NpyWriter<W> {
    out: W,
}

impl<W: Write> NpyWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn new(mut out: W, kind: NpyKind, rows: u64, columns: usize) -> io::Result<Self> {
        let mut header = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}", kind.descr());
        let before = MAGIC.len() + 4;
        let total = (before + header.len() + 1).next_multiple_of(ALIGNMENT);
        header.extend(std::iter::repeat_n(' ', total - before - header.len() - 1));
        header.push('\n');
        out.write_all(MAGIC)?;
        out.write_all(&[1, 0])?;
        out.write_all(&(header.len() as u16).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        Ok(Self { out })
    }

    /// Writes the elements of the next rows, as bytes.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&mut self, elements: &[u8]) -> io::Result<()> {
        self.out.write_all(elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str) -> Vec<u8> {
        [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat()
    }

    #[test]
    fn a_written_header_can_be_read() {
        let mut bytes = Vec::new();
        NpyWriter::new(&mut bytes, NpyKind::F32, 2, 3).unwrap().write(&[0; 24]).unwrap();
        let header = parse_header(&bytes).unwrap();
        assert_eq!(header, Header { descr: "<f4".into(), fortran_order: false, shape: vec![2, 3], start: 128 });
        assert_eq!(bytes.len(), 128 + 24);
    }

    #[test]
    fn other_styles_of_headers_are_read() {
        let header = parse_header(&file("{\"shape\":(7,),\"fortran_order\" :True,\"descr\":\"<f8\"}")).unwrap();
        assert_eq!((header.shape, header.fortran_order, &header.descr[..]), (vec![7], true, "<f8"));
        let longer = [MAGIC, &[2, 0, 55, 0, 0, 0], b"{'descr': '<f2', 'fortran_order': False, 'shape': (), }  "].concat();
        assert_eq!(parse_header(&longer).unwrap().shape, [0; 0]);
    }

    #[test]
    fn an_invalid_header_is_rejected() {
        for (bytes, what) in [
            (b"PAR1".to_vec(), "begin"),
            (MAGIC.to_vec(), "cut off"),
            ([MAGIC, &[9, 0, 0, 0]].concat(), "version 9"),
            ([MAGIC, &[1, 0, 200, 0]].concat(), "cut off"),
            (file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}"), "not a simple type"),
            (file("{'descr': '<f4', 'fortran_order': False}"), "no shape"),
            (file("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2)}"), "not a tuple of integers"),
            (file("{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1, 2)}"), "order"),
        ] {
            let error = parse_header(&bytes).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
