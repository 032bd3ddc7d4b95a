//! The texts of a row: its text, the items of its list, or chunks of either.

use super::Job;
use crate::table::{is_text_list, text_array, text_lists};
use anyhow::Result;
use arrow_array::{Array, LargeStringArray};
use hh::tokenizer::is_blank;
use std::ops::Range;

/// A text of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Its row, from 0.
    pub row: u64,
    /// Its item of the row's list, from 0; 0 for a text.
    pub item: u64,
    /// Its first byte in the text or item.
    pub start: u64,
    /// The byte after its last one.
    pub end: u64,
}

/// Bytes of a [`Piece`] on disk.
pub(super) const BYTES: usize = 4 * size_of::<u64>();

impl Piece {
    pub(super) fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        for (out, n) in bytes.chunks_exact_mut(8).zip([self.row, self.item, self.start, self.end]) {
            out.copy_from_slice(&n.to_le_bytes());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; BYTES]) -> Self {
        let [row, item, start, end] = [0, 8, 16, 24].map(|at| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i])));
        Self { row, item, start, end }
    }

    /// Its bytes of the text or item.
    pub(super) fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// The texts of a batch of rows.
pub(super) struct Texts {
    texts: LargeStringArray,
    /// The texts of each row, for lists.
    items: Option<Vec<Range<usize>>>,
    rows: usize,
}

impl Texts {
    /// The texts of a column whose first row has the index `first`, from 0.
    ///
    /// # Errors
    /// Bytes that are not UTF-8.
    pub(super) fn of(job: &Job<'_>, column: &dyn Array, first: u64) -> Result<Self> {
        let place = |row: usize| job.input.place(first + row as u64);
        if !is_text_list(column.data_type()) {
            return Ok(Self { texts: text_array(column, &place)?, items: None, rows: column.len() });
        }
        let (lists, texts) = text_lists(column, &|_| job.input.place(first))?;
        let offsets = lists.value_offsets();
        // A null may hide items.
        let items = |row: usize| if lists.is_null(row) { 0..0 } else { offsets[row] as usize..offsets[row + 1] as usize };
        Ok(Self { texts, items: Some((0..lists.len()).map(items).collect()), rows: column.len() })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The items of a row; one for a text.
    pub(super) fn items(&self, row: usize) -> Range<usize> {
        self.items.as_ref().map_or(row..row + 1, |items| items[row].clone())
    }

    /// The text of an item; `None` if it is null.
    pub(super) fn text(&self, item: usize) -> Option<&str> {
        self.texts.is_valid(item).then(|| self.texts.value(item))
    }

    /// The text of a piece of row `row` of this batch; `None` if it is null, or the row has none.
    pub(super) fn piece(&self, row: usize, piece: &Piece) -> Option<&str> {
        let items = self.items(row);
        let item = items.start + piece.item as usize;
        self.text(Some(item).filter(|item| items.contains(item))?).map(|text| &text[piece.range()])
    }

    /// The pieces of a row, whose index in the table is `row`, with their texts; at least one. A blank text is one piece.
    ///
    /// # Errors
    /// Those of `split`.
    pub(super) fn pieces(&self, job: &Job<'_>, local: usize, row: u64) -> Result<Vec<(Piece, Option<&str>)>> {
        let items = self.items(local);
        let mut all = Vec::new();
        for (item, index) in items.enumerate() {
            let item = item as u64;
            let text = self.text(index);
            let whole = 0..text.map_or(0, str::len);
            let ranges = match (job.split, text.filter(|text| !is_blank(text))) {
                (Some(split), Some(text)) => split(text)?,
                _ => vec![whole],
            };
            all.extend(ranges.into_iter().map(|range| {
                let piece = Piece { row, item, start: range.start as u64, end: range.end as u64 };
                (piece, text.map(|text| &text[range]))
            }));
        }
        if all.is_empty() {
            all.push((Piece { row, item: 0, start: 0, end: 0 }, None));
        }
        Ok(all)
    }
}
