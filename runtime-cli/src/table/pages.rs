//! The pages of a Parquet file's columns.
//!
//! The `parquet` crate decompresses Zstandard with a C library. To avoid it, columns with this compression are declared
//! uncompressed to the crate, and the raw pages that it returns are decompressed here.

use crate::data::zstd::Frames;
use bytes::Bytes;
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

/// Whether pages with this compression can be decompressed, here or by the crate.
pub(super) fn readable(compression: Compression) -> bool {
    match compression {
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_) => true,
        Compression::LZ4 | Compression::LZ4_RAW | Compression::ZSTD(_) => true,
        Compression::BROTLI(_) | Compression::LZO => false,
    }
}

/// Some of a file's row groups.
pub(super) struct Chosen {
    pub(super) file: Arc<File>,
    pub(super) metadata: Arc<ParquetMetaData>,
    pub(super) groups: Vec<usize>,
}

impl RowGroups for Chosen {
    fn num_rows(&self) -> usize {
        self.row_groups().map(|group| group.num_rows() as usize).sum()
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        let (file, metadata) = (self.file.clone(), self.metadata.clone());
        Ok(Box::new(Chunks { file, metadata, groups: self.groups.clone().into_iter(), column }))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(self.groups.iter().map(|&group| self.metadata.row_group(group)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// The chunks of one column, one for each row group.
struct Chunks {
    file: Arc<File>,
    metadata: Arc<ParquetMetaData>,
    groups: std::vec::IntoIter<usize>,
    column: usize,
}

impl Iterator for Chunks {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        let group = self.metadata.row_group(self.groups.next()?);
        Some(pages(self.file.clone(), group, self.column))
    }
}

impl PageIterator for Chunks {}

fn pages(file: Arc<File>, group: &RowGroupMetaData, column: usize) -> Result<Box<dyn PageReader>> {
    let chunk = group.column(column);
    let rows = group.num_rows() as usize;
    if !matches!(chunk.compression(), Compression::ZSTD(_)) {
        return Ok(Box::new(SerializedPageReader::new(file, chunk, rows, None)?));
    }
    let most = chunk.uncompressed_size().max(0) as u64;
    let plain = chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
    Ok(Box::new(Zstandard { pages: SerializedPageReader::new(file, &plain, rows, None)?, most }))
}

/// Decompresses the pages of a chunk.
struct Zstandard {
    pages: SerializedPageReader<File>,
    /// Uncompressed bytes of all pages of the chunk, an upper bound for one page.
    most: u64,
}

impl Zstandard {
    fn page(&self, mut page: Page) -> Result<Page> {
        match &mut page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => *buf = self.decompress(buf, 0)?,
            Page::DataPageV2 { is_compressed: false, .. } => {}
            Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
                *buf = self.decompress(buf, *def_levels_byte_len as usize + *rep_levels_byte_len as usize)?;
            }
        }
        Ok(page)
    }

    /// Decompresses the bytes after the first `levels`, which are not compressed.
    fn decompress(&self, bytes: &Bytes, levels: usize) -> Result<Bytes> {
        let damaged = |what: String| ParquetError::General(format!("a page cannot be decompressed: {what}"));
        let Some((levels, frames)) = bytes.split_at_checked(levels) else { return Err(damaged("it is too short".into())) };
        let mut out = levels.to_vec();
        Frames::new(frames).take(self.most + 1).read_to_end(&mut out).map_err(|e| damaged(e.to_string()))?;
        if out.len() as u64 > self.most {
            return Err(damaged("it exceeds the size in the metadata".into()));
        }
        Ok(out.into())
    }
}

impl PageReader for Zstandard {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.pages.get_next_page()?.map(|page| self.page(page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }
}

impl Iterator for Zstandard {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
