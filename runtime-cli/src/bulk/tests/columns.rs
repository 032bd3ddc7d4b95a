//! Columns of every type.

use super::pieces::pairs;
use super::*;
use ::parquet::arrow::ArrowWriter;
use arrow_array::types::{Decimal128Type, TimestampNanosecondType};
use arrow_array::{
    ArrayRef, BinaryArray, Date32Array, Float64Array, PrimitiveArray, RecordBatch, StringArray, StructArray, TimestampNanosecondArray,
    UInt64Array,
};
use arrow_schema::{DataType, Field};
use std::sync::Arc;

fn parquet(columns: Vec<(&str, ArrayRef)>) -> (TempDir, Table) {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let batch = RecordBatch::try_from_iter([("text", text)].into_iter().chain(columns)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let table = Table::open(&path).unwrap();
    (folder, table)
}

fn decimal() -> ArrayRef {
    let values = PrimitiveArray::<Decimal128Type>::from(vec![Some(-12_345_678_901_234_567_890), None]);
    Arc::new(values.with_precision_and_scale(30, 2).unwrap())
}

#[test]
fn columns_of_every_type_pass_through_parquet() {
    let nested: ArrayRef = Arc::new(StructArray::from(vec![(
        Arc::new(Field::new("when", DataType::Date32, true)),
        Arc::new(Date32Array::from(vec![Some(-719_528), None])) as ArrayRef,
    )]));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("big", Arc::new(UInt64Array::from(vec![u64::MAX, 0]))),
        ("money", decimal()),
        ("time", Arc::new(TimestampNanosecondArray::from(vec![1, i64::MAX]).with_timezone("Europe/Berlin"))),
        ("bytes", Arc::new(BinaryArray::from(vec![&b"\xff\0"[..], b""]))),
        ("nested", nested),
        ("float", Arc::new(Float64Array::from(vec![f64::NEG_INFINITY, -0.0]))),
    ];
    let (folder, table) = parquet(columns.clone());
    let out = output(&folder, "out.parquet");
    run(&job(&table, &out, Empty::Null)).unwrap();
    let found = Table::open(out.path()).unwrap();
    let batch = found.batches(&[1, 2, 3, 4, 5, 6], 9, 0).unwrap().next().unwrap().unwrap();
    for ((name, column), found) in columns.iter().zip(batch.columns()) {
        assert_eq!(found, column, "{name}");
    }
}

#[test]
fn what_json_can_hold_is_exact_and_the_rest_is_refused_first() {
    let time: ArrayRef = Arc::new(PrimitiveArray::<TimestampNanosecondType>::from(vec![1_000_000_001, 0]));
    let (folder, table) = parquet(vec![("big", Arc::new(UInt64Array::from(vec![u64::MAX, 0]))), ("money", decimal()), ("time", time)]);
    let found = text_output(&folder, &table, "out.jsonl").unwrap();
    let first = found.lines().next().unwrap();
    assert_eq!(
        first,
        "{\"text\":\"a\",\"big\":18446744073709551615,\"money\":-123456789012345678.90,\"time\":\"1970-01-01T00:00:01.000000001\",\"embedding\":[1,0.5]}"
    );
    let number: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN]));
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&b"ab"[..], b"c"]));
    for (column, said) in [(number, "not finite"), (bytes, "JSON has no form")] {
        let (folder, table) = parquet(vec![("x", column)]);
        let error = format!("{:#}", text_output(&folder, &table, "out.jsonl").unwrap_err());
        assert!(error.contains(said) && error.contains("column \"x\"") && error.contains("write .parquet"), "{error}");
        assert!(!folder_of(&folder.path().join("out.jsonl")).exists(), "nothing is begun");
        assert!(run(&job(&table, &output(&folder, "out.npy"), Empty::Refuse)).is_ok());
    }
}

#[test]
fn bytes_that_are_text_are_embedded() {
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![Some("dé".as_bytes()), None]));
    let wrong: ArrayRef = Arc::new(BinaryArray::from(vec![&b"a"[..], b"\xff"]));
    let (folder, table) = parquet(vec![("bytes", bytes), ("wrong", wrong)]);
    let embedded = |name: &str, format: &str| {
        let out = output(&folder, format);
        let job = Job { text: table.text_column(name).unwrap(), ..job(&table, &out, Empty::Null) };
        let mut unfinished = Unfinished::open(out.path(), &identity(name), 2, true)?;
        crate::bulk::embed(&job, &mut unfinished, &mut embed_by_length, &mut forever())?;
        assemble(&job, &unfinished, &mut forever())
    };
    assert!(embedded("bytes", "out.parquet").unwrap());
    let error = embedded("wrong", "other.parquet").unwrap_err().to_string();
    assert!(error.contains("row 2 of") && error.contains("UTF-8"), "{error}");
}

#[test]
fn a_column_of_several_types_is_refused_by_parquet_alone() {
    let (folder, table) = input("a.jsonl", "{\"text\":\"a\",\"meta\":{\"k\":1}}\n{\"text\":\"b\",\"meta\":[1]}\n");
    let error = format!("{:#}", text_output(&folder, &table, "out.parquet").unwrap_err());
    assert!(error.contains("column \"meta\"") && error.contains("line 2 of") && error.contains("a list"), "{error}");
    assert!(text_output(&folder, &table, "out.jsonl").unwrap().contains("\"meta\":[1],"));
    assert!(run(&job(&table, &output(&folder, "out.npy"), Empty::Refuse)).is_ok());
    let (folder, table) = input("b.jsonl", "{\"text\":\"a\",\"meta\":{}}\n");
    let error = format!("{:#}", text_output(&folder, &table, "out.parquet").unwrap_err());
    assert!(error.contains("column \"meta\"") && error.contains("cannot store"), "{error}");
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let (folder, table) = input("a.csv", "text,embedding,chunk_row\na,1,2\n");
    assert!(text_output(&folder, &table, "out.jsonl").unwrap_err().to_string().contains("already has a column \"embedding\""));
    let out = output(&folder, "out.jsonl");
    let error = run(&Job { split: Some(&pairs), column: "v", ..job(&table, &out, Empty::Null) }).unwrap_err().to_string();
    assert!(error.contains("already has a column \"chunk_row\""), "{error}");
}

/// A file with timestamps as Spark writes them: Julian days and nanoseconds of the day.
fn int96(days: &[u32]) -> (TempDir, Table) {
    use ::parquet::data_type::{ByteArrayType, Int96, Int96Type};
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::parser::parse_message_type;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let schema = parse_message_type("message m { required binary text (UTF8); required int96 at; }").unwrap();
    let mut writer = SerializedFileWriter::new(fs::File::create(&path).unwrap(), Arc::new(schema), Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let texts: Vec<_> = days.iter().map(|_| "a".into()).collect();
    column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let times: Vec<_> = days.iter().map(|&day| Int96::from(vec![1_000, 0, day])).collect();
    column.typed::<Int96Type>().write_batch(&times, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let table = Table::open(&path).unwrap();
    (folder, table)
}

#[test]
fn a_timestamp_that_would_wrap_is_refused() {
    const UNIX: u32 = 2_440_588;
    let (folder, table) = int96(&[UNIX, UNIX - 1]);
    assert!(text_output(&folder, &table, "out.jsonl").unwrap().contains("\"1970-01-01T00:00:00.000001\""));
    assert!(run(&job(&table, &output(&folder, "out.parquet"), Empty::Null)).is_ok());
    // 9999-12-31
    let (folder, table) = int96(&[UNIX, 5_373_484]);
    for name in ["out.jsonl", "out.parquet"] {
        let error = format!("{:#}", run(&job(&table, &output(&folder, name), Empty::Null)).unwrap_err());
        assert!(error.contains("row 2 of") && error.contains("column \"at\""), "{error}");
    }
}
