//! JSON Lines and arrays of objects.

use super::*;

#[test]
fn every_number_of_json_keeps_its_value() {
    let lines = "{\"id\":18446744073709551615,\"mixed\":9007199254740993,\"deep\":{\"n\":[18446744073709551616]},\"x\":1e400}\n\
        {\"id\":0,\"mixed\":0.5,\"x\":1}\n";
    let (_folder, path) = written("a.jsonl", lines);
    let table = Table::open(&path).unwrap();
    assert_eq!(table.schema().field(0).data_type(), &DataType::UInt64);
    assert_eq!(table.schema().field(1).data_type(), &DataType::Decimal128(17, 1));
    assert_eq!(table.schema().field(3).data_type(), &DataType::Utf8, "beyond all number types");
    let batch = table.batches(&[0, 1, 2, 3], 9, 0).unwrap().next().unwrap().unwrap();
    let text = |i: usize| texts(&arrow_cast::cast(batch.column(i), &DataType::Utf8).unwrap()).unwrap();
    assert_eq!((text(0), text(1)), (some(&["18446744073709551615", "0"]), some(&["9007199254740993.0", "0.5"])));
    assert_eq!(text(3), some(&["1e400", "1"]));
    assert!(format!("{:?}", batch.column(2)).contains("18446744073709551616"));
}

#[test]
fn half_a_surrogate_pair_is_a_replacement_character() {
    let (_folder, path) = written("a.jsonl", "{\"text\":\"bad \\ud83d one\"}\n{\"text\":\"\\ud83d\\ude00\"}\n");
    assert_eq!(column(&Table::open(&path).unwrap(), "text", 9).0, some(&["bad \u{fffd} one", "😀"]));
}

#[test]
fn json_in_any_layout_is_the_same_table() {
    let expected = some(&["one", "two"]);
    for (name, content) in [
        ("a.jsonl", "{\"text\":\"one\",\"n\":1}\n\n{\"text\":\"two\"}\n"),
        ("a.json", "{\"text\":\"one\",\"n\":1}\n{\"text\":\"two\"}\n"),
        ("a.json", "[\n  {\n    \"text\": \"one\",\n    \"n\": 1\n  },\n  {\n    \"text\": \"two\"\n  }\n]\n"),
        ("a.json", "[{\"text\":\"one\",\"n\":1},{\"text\":\"two\"}]"),
    ] {
        let (_folder, path) = written(name, content);
        let table = Table::open(&path).unwrap();
        assert_eq!((table.columns().collect::<Vec<_>>(), column(&table, "text", 1)), (vec!["text", "n"], (expected.clone(), vec![1, 1])));
        assert_eq!(column(&table, "text", 9).0, expected, "{content}");
    }
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
fn a_column_of_several_types_is_named_with_its_line() {
    let (_folder, path) = written("a.jsonl", "{\"a\": \"x\", \"b\": [1]}\n{\"a\": [\"y\"], \"b\": [{}]}\n{\"a\": \"z\"}\n");
    let table = Table::open(&path).unwrap();
    for (column, said) in [(0, "has a list in \"a\", where the lines before it have a text"), (1, "has an object in \"b[]\"")] {
        let error = table.batches(&[column], 8, 0).err().unwrap().to_string();
        assert!(error.contains("line 2 of") && error.contains(said), "{error}");
    }
}
