//! Matrices with one vector per row.

use super::npy;
use crate::files;
use anyhow::{Context, Result, bail};
use half::f16;
use memmap2::Mmap;
use std::path::Path;

/// A matrix of vectors from a file, by rows: a teacher's embeddings, or an index.
///
/// A `.npy` is mapped into memory. A column of a `.parquet`, with lists of f16, f32 or f64 of equal length, is read into memory,
/// as f16 if the file has f16 and as f32 otherwise.
pub struct Vectors {
    rows: usize,
    dim: usize,
    numbers: Numbers,
}

enum Numbers {
    Mapped { map: Mmap, start: usize, kind: Kind },
    Half(Vec<f16>),
    Single(Vec<f32>),
}

/// Data type of the elements in a file, little-endian.
#[derive(Clone, Copy)]
enum Kind {
    Half,
    Single,
    Double,
}

impl Kind {
    fn bytes(self) -> usize {
        match self {
            Self::Half => 2,
            Self::Single => 4,
            Self::Double => 8,
        }
    }
}

impl Vectors {
    /// Opens a `.npy` or a `.parquet`. `column` names the column of vectors; it may be omitted if there is only one.
    ///
    /// # Errors
    /// A file that is missing, damaged, or not a matrix of floating-point numbers, or a row that is null or differs in length.
    pub fn open(path: &Path, column: Option<&str>) -> Result<Self> {
        let name = path.to_string_lossy().to_lowercase();
        if name.ends_with(".npy") {
            return Self::npy(path);
        }
        if !name.ends_with(".parquet") {
            bail!("{} is neither a .npy nor a .parquet", path.display());
        }
        Self::parquet(path, column)
    }

    fn npy(path: &Path) -> Result<Self> {
        let map = files::map(path)?;
        let header = npy::parse_header(&map).with_context(|| format!("{} is not a readable .npy", path.display()))?;
        let kind = match &header.descr[..] {
            "<f2" => Kind::Half,
            "<f4" => Kind::Single,
            "<f8" => Kind::Double,
            other => bail!("{} has elements of type {other}; save them as little-endian float16, float32 or float64", path.display()),
        };
        let &[rows, dim] = &header.shape[..] else {
            bail!("{} has an array of shape {:?}; save one with two axes and one row per text", path.display(), header.shape);
        };
        if header.fortran_order {
            bail!("{} is in Fortran order; save numpy.ascontiguousarray of it", path.display());
        }
        let needed = rows.checked_mul(dim).and_then(|n| n.checked_mul(kind.bytes())).and_then(|n| n.checked_add(header.start));
        if needed != Some(map.len()) {
            bail!("{} has {} bytes, which does not match its shape [{rows}, {dim}]: it is cut off or damaged", path.display(), map.len());
        }
        Ok(Self { rows, dim, numbers: Numbers::Mapped { map, start: header.start, kind } })
    }

    /// Number of vectors.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Dimension of the vectors.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Writes vector `row` to `out`. Allocates nothing.
    ///
    /// # Panics
    /// If there is no such row, or `out` is not [`dim`](Self::dim) long.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows && out.len() == self.dim, "row {row} of {} into {} of {} elements", self.rows, out.len(), self.dim);
        let range = row * self.dim..(row + 1) * self.dim;
        match &self.numbers {
            Numbers::Mapped { map, start, kind } => {
                let bytes = &map[start + range.start * kind.bytes()..start + range.end * kind.bytes()];
                match kind {
                    Kind::Half => unpack(bytes, out, |b| f16::from_le_bytes(b).to_f32()),
                    Kind::Single => unpack(bytes, out, f32::from_le_bytes),
                    Kind::Double => unpack(bytes, out, |b| f64::from_le_bytes(b) as f32),
                }
            }
            Numbers::Half(numbers) => out.iter_mut().zip(&numbers[range]).for_each(|(out, x)| *out = x.to_f32()),
            Numbers::Single(numbers) => out.copy_from_slice(&numbers[range]),
        }
    }
}

fn unpack<const N: usize>(bytes: &[u8], out: &mut [f32], number: impl Fn([u8; N]) -> f32) {
    for (out, &bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = number(bytes);
    }
}

mod column {
    use super::*;
    use crate::table::{Table, listed};
    use anyhow::anyhow;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float16Type, Float32Type};
    use arrow_array::{Array, ArrayRef};
    use arrow_schema::DataType;

    /// Rows per batch.
    const BATCH: usize = 4096;

    impl Vectors {
        pub(super) fn parquet(path: &Path, column: Option<&str>) -> Result<Self> {
            let table = Table::open(path)?;
            let kinds = || table.schema().fields().iter().filter(|field| number(field.data_type()).is_some());
            let names = || listed(kinds().map(|field| field.name().as_str()));
            let column = match (column, kinds().count()) {
                (Some(name), _) => table.column(name)?,
                (None, 1) => table.column(kinds().next().expect("there is one").name())?,
                (None, _) => bail!("select a vector column of {}; these are {}", path.display(), names()),
            };
            let field = table.schema().field(column);
            let Some(kind) = number(field.data_type()) else {
                bail!(
                    "column \"{}\" of {} has type {}, not vectors; the vector columns are {}",
                    field.name(),
                    path.display(),
                    field.data_type(),
                    names()
                );
            };
            let half = *kind == DataType::Float16;
            let mut dim = None;
            let (mut halves, mut singles) = (Vec::new(), Vec::new());
            let mut rows = 0;
            for batch in table.batches(&[column], BATCH, 0)? {
                let batch = batch?;
                let place = |row: usize| format!("row {} of column \"{}\" of {}", rows + row + 1, field.name(), path.display());
                let numbers = flat(batch.column(0), &mut dim, &place)?;
                if half {
                    halves.extend_from_slice(numbers.as_primitive::<Float16Type>().values());
                } else {
                    let numbers = arrow_cast::cast(&numbers, &DataType::Float32)?;
                    singles.extend_from_slice(numbers.as_primitive::<Float32Type>().values());
                }
                rows += batch.num_rows();
            }
            let numbers = if half { Numbers::Half(halves) } else { Numbers::Single(singles) };
            Ok(Self { rows, dim: dim.unwrap_or(0), numbers })
        }
    }

    /// The element type of a vector column; `None` for other columns.
    fn number(kind: &DataType) -> Option<&DataType> {
        let (DataType::FixedSizeList(item, _) | DataType::List(item) | DataType::LargeList(item)) = kind else { return None };
        let floats = matches!(item.data_type(), DataType::Float16 | DataType::Float32 | DataType::Float64);
        floats.then(|| item.data_type())
    }

    /// The elements of all rows of a batch, concatenated.
    fn flat(lists: &ArrayRef, dim: &mut Option<usize>, place: &dyn Fn(usize) -> String) -> Result<ArrayRef> {
        let lists = match lists.data_type() {
            DataType::FixedSizeList(item, _) | DataType::List(item) => {
                arrow_cast::cast(lists, &DataType::LargeList(item.clone())).map_err(|e| anyhow!("{}: {e}", place(0)))?
            }
            _ => lists.clone(),
        };
        let lists = lists.as_list::<i64>();
        let offsets = lists.value_offsets();
        for (row, ends) in offsets.windows(2).enumerate() {
            if lists.is_null(row) {
                bail!("{} is null; remove such rows", place(row));
            }
            let found = (ends[1] - ends[0]) as usize;
            let dim = *dim.get_or_insert(found);
            if found != dim {
                bail!("{} has {found} elements, but the rows before it have {dim}; vectors must be of equal length", place(row));
            }
        }
        let (start, end) = (offsets[0] as usize, offsets[lists.len()] as usize);
        let numbers = lists.values().slice(start, end - start);
        if let (Some(nulls), Some(dim)) = (numbers.logical_nulls().filter(|nulls| nulls.null_count() > 0), *dim) {
            let first = (0..numbers.len()).find(|&i| nulls.is_null(i)).unwrap_or(0);
            bail!("{} has a null element; remove such rows", place(first / dim.max(1)));
        }
        Ok(numbers)
    }
}
