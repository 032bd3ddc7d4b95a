//! Parquet files.

use super::*;
use crate::table::Vectors;
use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::Compression;
use ::parquet::file::properties::WriterProperties;
use arrow_array::types::Float32Type;
use arrow_array::{ArrayRef, FixedSizeListArray, Float16Array, Float32Array, Float64Array, ListArray, StringArray};
use arrow_schema::Field;
use half::f16;
use std::sync::Arc;

fn file(columns: Vec<(&str, ArrayRef)>, compression: Compression) -> (tempfile::TempDir, PathBuf) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let options = WriterProperties::builder().set_compression(compression).set_max_row_group_row_count(Some(100)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(options)).unwrap();
    writer.write(&batch).unwrap();
    written("a.parquet", writer.into_inner().unwrap())
}

#[test]
fn every_compression_is_read_from_any_row_on() {
    let rows: Vec<_> = (0..250).map(|i| (i % 7 > 0).then(|| format!("row {i}"))).collect();
    let other: ArrayRef = Arc::new(Float64Array::from(vec![0.0; 250]));
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::GZIP(Default::default()), Compression::LZ4_RAW] {
        let (_folder, path) = file(vec![("x", other.clone()), ("text", Arc::new(StringArray::from(rows.clone())))], compression);
        let table = Table::open(&path).unwrap();
        assert_eq!((table.rows(), column(&table, "text", 64).0), (250, rows.clone()));
        for first in [0, 99, 100, 101, 249, 250] {
            let batches: Vec<_> = table.batches(&[1, 0], 64, first).unwrap().map(Result::unwrap).collect();
            let found: Vec<_> = batches.iter().flat_map(|batch| texts(batch.column(0)).unwrap()).collect();
            assert_eq!(found, rows[first as usize..], "{compression} from {first}");
        }
    }
}

/// Files by pyarrow 26, of both versions of data pages.
#[test]
fn zstandard_is_read_without_its_c_library() {
    for (version, bytes) in [(1, &include_bytes!("zstd-1.parquet")[..]), (2, include_bytes!("zstd-2.parquet"))] {
        let (_folder, path) = written("a.parquet", bytes);
        let table = Table::open(&path).unwrap();
        let expected: Vec<_> = (0..300).map(|i| (i % 7 != 3).then(|| format!("row {i} {}", "of text ".repeat(i % 5)))).collect();
        assert_eq!(column(&table, "text", 70).0, expected, "pages of version {version}");
        assert_eq!(column(&table, "kind", 300).0[..2], some(&["red", "green"]));
        let all: Vec<_> = table.batches(&[0, 1, 2, 3], 1000, 130).unwrap().map(Result::unwrap).collect();
        assert_eq!(all.iter().map(RecordBatch::num_rows).sum::<usize>(), 170);
        assert_eq!(all[0].schema(), *table.schema());
    }
}

#[test]
fn unsupported_and_damaged_files_are_named() {
    let brotli = error("a.parquet", include_bytes!("brotli.parquet"));
    assert!(brotli.contains("column \"id\"") && brotli.contains("BROTLI"), "{brotli}");
    let whole = include_bytes!("zstd-1.parquet");
    assert!(error("a.parquet", &whole[..whole.len() - 9]).contains("is not a readable Parquet file"));
    let mut damaged = whole.to_vec();
    damaged[200..1200].fill(0x55);
    let (_folder, path) = written("a.parquet", damaged);
    let error = Table::open(&path).unwrap().texts(&["text"], 10).map(|mut batches| batches.find_map(Result::err));
    let error = error.map_or_else(|e| e, |e| e.expect("a page that cannot be decoded")).to_string();
    assert!(error.contains("cannot be read from row 1 on"), "{error}");
}

#[test]
fn vectors_of_every_kind_are_the_same_matrix() {
    let flat: Vec<f32> = (0..12).map(|i| i as f32 / 4.0 - 1.0).collect();
    let item = |kind| Arc::new(Field::new("item", kind, true));
    let fixed = |kind, values| Arc::new(FixedSizeListArray::new(item(kind), 4, values, None)) as ArrayRef;
    let halves: Vec<_> = flat.iter().map(|&x| f16::from_f32(x)).collect();
    let doubles: Vec<_> = flat.iter().map(|&x| f64::from(x)).collect();
    let list = ListArray::from_iter_primitive::<Float32Type, _, _>(
        flat.chunks(4).map(|row| Some(row.iter().map(|&x| Some(x)).collect::<Vec<_>>())),
    );
    for vectors in [
        fixed(DataType::Float16, Arc::new(Float16Array::from(halves)) as ArrayRef),
        fixed(DataType::Float32, Arc::new(Float32Array::from(flat.clone()))),
        fixed(DataType::Float64, Arc::new(Float64Array::from(doubles))),
        Arc::new(list),
    ] {
        let ids: ArrayRef = Arc::new(Float64Array::from(vec![0.0; 3]));
        let (_folder, path) = file(vec![("id", ids), ("v", vectors)], Compression::SNAPPY);
        for column in [None, Some("v")] {
            let found = Vectors::open(&path, column).unwrap();
            assert_eq!((found.rows(), found.dim()), (3, 4));
            for row in 0..3 {
                let mut out = [f32::NAN; 4];
                found.row(row, &mut out);
                assert_eq!(out, flat[row * 4..][..4]);
            }
        }
        let error = Vectors::open(&path, Some("id")).err().unwrap().to_string();
        assert!(error.contains("not vectors; the vector columns are \"v\""), "{error}");
    }
}

#[test]
fn a_row_without_a_whole_vector_is_named() {
    let lists = |rows: Vec<Option<Vec<Option<f32>>>>| Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(rows)) as ArrayRef;
    let whole = || Some(vec![Some(1.0), Some(2.0)]);
    for (row, what) in [
        (None, "row 2 of column \"v\""),
        (Some(vec![Some(1.0)]), "has 1 elements, but the rows before it have 2"),
        (Some(vec![Some(1.0), None]), "row 2 of column \"v\""),
    ] {
        let (_folder, path) = file(vec![("v", lists(vec![whole(), row, whole()]))], Compression::SNAPPY);
        let error = Vectors::open(&path, None).err().unwrap().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn intervals_are_refused_where_they_would_be_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    // `copy (select 'a' as text, interval 1 month as every) to 'interval.parquet'` in DuckDB.
    std::fs::write(&path, include_bytes!("interval.parquet")).unwrap();
    let table = Table::open(&path).unwrap();
    table.require_exact(&[0]).unwrap();
    let error = table.require_exact(&[0, 1]).unwrap_err().to_string();
    assert!(error.contains("column \"every\"") && error.contains("cast it to text"), "{error}");
}
