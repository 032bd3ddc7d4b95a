use super::*;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

/// A file with this name and content in a new folder.
fn written(name: &str, bytes: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn error(name: &str, bytes: impl AsRef<[u8]>) -> String {
    let (_folder, path) = written(name, bytes);
    Table::open(&path).err().expect("a table that cannot be opened").to_string()
}

/// A column in batches of `size`, and the batches' lengths.
fn column(table: &Table, name: &str, size: usize) -> (Vec<Option<String>>, Vec<usize>) {
    let batches: Vec<_> = table.texts(&[name], size).unwrap().map(|batch| batch.unwrap().remove(0)).collect();
    (batches.concat(), batches.iter().map(Vec::len).collect())
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| (!text.is_empty()).then(|| (*text).to_owned())).collect()
}

#[test]
fn a_line_is_a_row() {
    let (_folder, path) = written("a.txt", "\u{feff}one\r\n\ntwo — 2\nthree");
    let table = Table::open(&path).unwrap();
    assert_eq!((table.columns().collect::<Vec<_>>(), table.rows()), (vec!["text"], 4));
    let (texts, batches) = column(&table, "text", 3);
    assert_eq!((texts, batches), (["one", "", "two — 2", "three"].map(|text| Some(text.to_owned())).to_vec(), vec![3, 1]));
}

#[test]
fn cells_are_text_and_empty_ones_null() {
    let (_folder, path) = written("a.csv", "id,sentence\n1,\"a, \"\"b\"\"\nand c\"\n2,\n3,d\n");
    let table = Table::open(&path).unwrap();
    assert_eq!((table.columns().collect::<Vec<_>>(), table.rows()), (vec!["id", "sentence"], 3));
    assert_eq!(column(&table, "sentence", 2), (some(&["a, \"b\"\nand c", "", "d"]), vec![2, 1]));
    let both: Vec<_> = table.texts(&["sentence", "id"], 9).unwrap().map(Result::unwrap).collect();
    assert_eq!(both[0][1], some(&["1", "2", "3"]));
}

#[test]
fn a_quote_in_a_tsv_is_a_character() {
    let (_folder, path) = written("a.tsv", "a\tb\nsay \"hi\t\"\nx\ty\n");
    assert_eq!(column(&Table::open(&path).unwrap(), "a", 9).0, some(&["say \"hi", "x"]));
    assert_eq!(column(&Table::open(&path).unwrap(), "b", 9).0, some(&["\"", "y"]));
}

#[test]
fn columns_of_json_are_found_in_all_lines_and_keep_their_order() {
    let lines =
        "{\"z\": 1, \"text\": \"one\"}\n\n{\"text\": null, \"a\": {\"y\": 1, \"b\": []}}\n{\"z\": 1.5, \"text\": 3}\n{\"none\": null}\n";
    let (_folder, path) = written("a.jsonl", lines);
    let table = Table::open(&path).unwrap();
    assert_eq!((table.columns().collect::<Vec<_>>(), table.rows()), (vec!["z", "text", "a", "none"], 4));
    assert_eq!(*table.schema().field(0).data_type(), DataType::Float64);
    assert_eq!(column(&table, "text", 3), (some(&["one", "", "3", ""]), vec![3, 1]));
    assert!(
        table.texts(&["z"], 1).err().unwrap().to_string().contains("has type Float64, not text; the text columns are \"text\", \"none\"")
    );
    let all: Vec<_> = table.batches(&[0, 1, 2, 3], 2, 0).unwrap().map(Result::unwrap).collect();
    assert_eq!(all.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(all[0].schema(), *table.schema());
}

#[test]
fn compressed_tables_are_the_same() {
    let text = (0..40_000).map(|i| format!("row {i}\n")).collect::<String>();
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    gz.write_all(text.as_bytes()).unwrap();
    let zst = ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest);
    for (name, bytes) in [("a.txt.gz", gz.finish().unwrap()), ("a.TXT.zst", zst)] {
        let (_folder, path) = written(name, bytes);
        let (texts, batches) = column(&Table::open(&path).unwrap(), "text", 16_384);
        assert_eq!((texts.len(), batches), (40_000, vec![16_384, 16_384, 7_232]));
        assert_eq!(texts[39_999].as_deref(), Some("row 39999"));
    }
}

#[test]
fn reading_may_start_at_any_row() {
    let rows: Vec<_> = (0..10).map(|i| i.to_string()).collect();
    let json = rows.iter().map(|row| format!("{{\"text\":\"{row}\"}}\n\n")).collect::<String>();
    for (name, bytes) in [("a.txt", rows.join("\n")), ("a.csv", format!("text\n{}", rows.join("\n"))), ("a.jsonl", json)] {
        let (_folder, path) = written(name, bytes);
        let table = Table::open(&path).unwrap();
        for first in [0, 1, 4, 9, 10] {
            let batches: Vec<_> = table.batches(&[0], 4, first).unwrap().map(Result::unwrap).collect();
            let found: Vec<_> = batches.iter().flat_map(|batch| texts(batch.column(0)).unwrap()).flatten().collect();
            assert_eq!(found, rows[first as usize..], "{name} from {first}");
        }
    }
}

#[test]
fn a_missing_column_and_an_unusable_line_are_named() {
    let (_folder, path) = written("a.csv", "id,sentence\n1,a\n");
    let missing = Table::open(&path).unwrap().column("text").unwrap_err().to_string();
    assert!(missing.ends_with("has no column \"text\"; it has \"id\", \"sentence\""), "{missing}");
    for (name, bytes, what) in [
        ("a.csv", &b"id,text\n1,a\n2\n"[..], "line 3 of"),
        ("a.csv", b"id,text\n1,a\n2\n", "1 cells where the header has 2"),
        ("a.csv", b"id,text\n1,\xff\n", "line 2 of"),
        ("a.csv", b"id,id\n1,a\n", "two columns named \"id\""),
        ("a.csv", b"id,text\n", "has no rows"),
        ("a.jsonl", b"{\"text\": \"a\"}\n[]\n", "line 2 of"),
        ("a.jsonl", b"{\"text\": \"a\"}\n{\"text\": \n", "is not JSON"),
        ("a.jsonl", b"{\"text\": \"a\"}\n\n{\"text\": {\"b\": 1}}\n", "does not fit the lines before it"),
        ("a.jsonl", b"\n\n", "has no rows"),
        ("a.txt", b"a\nb\0\n", "byte 3 is zero"),
        ("a.txt", b"a\nb\xff\n", "line 2 of"),
        ("a.txt", b"", "is empty"),
        ("a.txt.gz", b"no archive at all", "cannot be decompressed"),
        ("a.csv.zst", b"no archive at all", "cannot be decompressed"),
        ("a.parquet", b"none", "is not a readable Parquet file"),
    ] {
        let error = error(name, bytes);
        assert!(error.contains(what) && error.contains(name), "{error}");
    }
}

#[test]
fn a_line_of_json_that_does_not_fit_is_named_when_it_is_read() {
    let (_folder, path) = written("a.jsonl", "{\"a\": \"x\"}\n{\"a\": [\"y\"]}\n{\"a\": \"z\"}\n");
    let table = Table::open(&path).unwrap();
    let error = table.batches(&[0], 8, 0).unwrap().next().unwrap().unwrap_err().to_string();
    assert!(error.contains("line 1 of") && error.contains("does not fit the other lines"), "{error}");
}

mod parquet {
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
        for (version, bytes) in [(1, &include_bytes!("tests/zstd-1.parquet")[..]), (2, include_bytes!("tests/zstd-2.parquet"))] {
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
        let brotli = error("a.parquet", include_bytes!("tests/brotli.parquet"));
        assert!(brotli.contains("column \"id\"") && brotli.contains("BROTLI"), "{brotli}");
        let whole = include_bytes!("tests/zstd-1.parquet");
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
}

mod npy {
    use super::*;
    use crate::table::{NpyWriter, Vectors};
    use half::f16;

    fn array(descr: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), numbers].concat()
    }

    #[test]
    fn rows_of_each_precision_are_read_from_the_map() {
        let numbers = [0.5f32, -1.0, 2.0, 3.0, 4.0, -0.25];
        let halves: Vec<_> = numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
        let singles: Vec<_> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        let doubles: Vec<_> = numbers.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect();
        let mut ours = Vec::new();
        NpyWriter::new(&mut ours, 3, 2).unwrap().write(&numbers).unwrap();
        for bytes in [array("<f2", "(3, 2)", &halves), array("<f4", "(3, 2)", &singles), array("<f8", "(3, 2)", &doubles), ours] {
            let (_folder, path) = written("a.npy", bytes);
            let vectors = Vectors::open(&path, None).unwrap();
            assert_eq!((vectors.rows(), vectors.dim()), (3, 2));
            for row in 0..3 {
                let mut out = [f32::NAN; 2];
                vectors.row(row, &mut out);
                assert_eq!(out, numbers[row * 2..][..2]);
            }
        }
    }

    #[test]
    fn files_that_are_not_float_matrices_are_rejected() {
        for (bytes, what) in [
            (array("<f4", "(2, 2)", &[0; 15]), "cut off or damaged"),
            (array("<f4", "(4611686018427387904, 16)", &[0; 16]), "cut off or damaged"),
            (array("<i8", "(1, 2)", &[0; 16]), "elements of type <i8"),
            (array(">f4", "(1, 2)", &[0; 8]), "elements of type >f4"),
            (array("<f4", "(4,)", &[0; 16]), "shape [4]"),
            (b"none".to_vec(), "is not a readable .npy"),
        ] {
            let (_folder, path) = written("a.npy", bytes);
            let error = Vectors::open(&path, None).err().unwrap();
            assert!(format!("{error:#}").contains(what), "{error:#}");
        }
        let (_folder, path) = written("a.txt", "none");
        assert!(Vectors::open(&path, None).err().unwrap().to_string().contains("neither a .npy nor a .parquet"));
    }
}
