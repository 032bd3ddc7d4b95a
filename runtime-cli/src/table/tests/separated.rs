//! CSV and TSV.

use super::*;

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
fn quotes_in_a_tsv_are_those_of_csv_unless_they_are_text() {
    let (_folder, path) = written("a.tsv", "a\tb\n\"he said \"\"hi\"\"\"\t\"x\ty\"\n");
    assert_eq!(column(&Table::open(&path).unwrap(), "a", 9).0, some(&["he said \"hi\""]));
    assert_eq!(column(&Table::open(&path).unwrap(), "b", 9).0, some(&["x\ty"]));
    let (_folder, path) = written("a.tsv", "a\tb\nsay \"hi\t\"\nx\ty\n");
    let error = Table::open(&path).err().unwrap().to_string();
    assert!(error.contains("line 2 of") && error.contains("never closed") && error.contains("--no-quotes"), "{error}");
    let table = open(&path, ReadOptions { raw_quotes: true, ..ReadOptions::default() }).unwrap();
    assert_eq!((column(&table, "a", 9).0, column(&table, "b", 9).0), (some(&["say \"hi", "x"]), some(&["\"", "y"])));
}

#[test]
fn a_first_line_may_name_the_delimiter() {
    for start in ["sep=;\r\n", "\u{feff}sep=;\n", "sep=;\r"] {
        let (_folder, path) = written("a.csv", format!("{start}id;text\n1;a, b\n2;\"c\n"));
        let error = Table::open(&path).err().unwrap().to_string();
        assert!(error.contains("line 4 of"), "{error}");
        let (_folder, path) = written("a.csv", format!("{start}id;text\n1;a, b\n"));
        assert_eq!(column(&Table::open(&path).unwrap(), "text", 9).0, some(&["a, b"]), "{start:?}");
    }
    let (_folder, path) = written("a.csv", "sep=,text\n1,a\n");
    assert_eq!(Table::open(&path).unwrap().columns().next(), Some("sep="));
}

#[test]
fn the_delimiter_is_found_or_asked_for() {
    for (name, content) in [
        ("a.csv", "id;text\n1;Good morning\n2;\"a; b, c\"\n"),
        ("a.csv", "id;text, as it is\n1;Good morning\n2;a, b, c\n"),
        ("a.csv", "id\ttext\n1\ta;b\n2\tb\n"),
        ("a.csv", "id|text\n1|a,b\n2|b\n"),
        ("a.csv", "id,text\n1,a;b|c\td\n2,b\n"),
        ("a.tsv", "id\ttext, raw\n1\ta,b\n2\tb\n"),
    ] {
        let (_folder, path) = written(name, content);
        let table = Table::open(&path).unwrap();
        assert_eq!((table.columns().count(), table.rows(), table.columns().next()), (2, 2, Some("id")), "{content}");
    }
    let (_folder, path) = written("a.csv", "text\nhello; world\none|two\n");
    assert_eq!(column(&Table::open(&path).unwrap(), "text", 9).0, some(&["hello; world", "one|two"]));
    for (name, content) in [("a.csv", "a,b;c\n1,2;3\n"), ("a.tsv", "id,text\n1,a\n")] {
        let error = error(name, content);
        assert!(error.contains("--delimiter") && error.contains("a comma"), "{error}");
    }
    let (_folder, path) = written("a.csv", "a,b;c\n1,2;3\n");
    let table = open(&path, ReadOptions { delimiter: Some(b';'), ..ReadOptions::default() }).unwrap();
    assert_eq!(table.columns().collect::<Vec<_>>(), ["a,b", "c"]);
    assert!(error("a.csv", "id;text\n1;a\n2\n").contains("line 3 of"));
}

#[test]
fn a_row_in_the_place_of_the_header_is_refused() {
    for first in ["1;Good morning", "2024-05-01,a", "-0.5,b", "x,1e5"] {
        let error = error("a.csv", format!("{first}\n{first}\n"));
        assert!(error.contains("line 1 of") && error.contains("--no-header") && error.contains("--header"), "{error}");
    }
    let (_folder, path) = written("a.csv", "1;Good morning\n2;Good night\n");
    let table = open(&path, ReadOptions { header: Some(false), ..ReadOptions::default() }).unwrap();
    assert_eq!((table.rows(), column(&table, "column_2", 9).0), (2, some(&["Good morning", "Good night"])));
    for first in [0, 1, 2] {
        assert_eq!(table.batches(&[0], 9, first).unwrap().map(|batch| batch.unwrap().num_rows() as u64).sum::<u64>(), 2 - first);
    }
    let table = open(&path, ReadOptions { header: Some(true), ..ReadOptions::default() }).unwrap();
    assert_eq!((table.rows(), table.columns().next()), (1, Some("1")));
}

#[test]
fn columns_without_names_are_called_after_their_position() {
    let (_folder, path) = written("a.csv", ",text,,column_3\n0,a,,x\n1,b,,y\n");
    let table = Table::open(&path).unwrap();
    assert_eq!(table.columns().collect::<Vec<_>>(), ["column_1", "text", "column_3_", "column_3"]);
}

#[test]
fn csv_columns_are_numbers_only_if_their_text_can_be_restored() {
    let lines = "zip,n,big,x,price,flag,text,mixed,none\n007,1,18446744073709551615,0.5,1.50,true,2024,1,\n\
        123,-2,0,1e-07,2.25,false,,a,\n,,,,,,7,\"2\",\n";
    let (_folder, path) = written("a.csv", lines);
    let table = Table::open(&path).unwrap();
    let found: Vec<_> = kinds(&table).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(found, ["Utf8", "Int64", "UInt64", "Float64", "Utf8", "Boolean", "Int64", "Utf8", "Utf8"]);
    assert_eq!(column(&table, "zip", 9).0, some(&["007", "123", ""]));
    assert_eq!(column(&table, "text", 9).0, some(&["2024", "", "7"]), "named columns are text");
    let batch = table.batches(&[2, 3], 9, 0).unwrap().next().unwrap().unwrap();
    let text = arrow_cast::cast(batch.column(0), &DataType::Utf8).unwrap();
    assert_eq!(texts(&text).unwrap(), some(&["18446744073709551615", "0", ""]));
    assert!(table.batches(&[0, 1, 5], 2, 1).unwrap().all(|batch| batch.is_ok()));
}

#[test]
fn an_empty_cell_is_null_unless_it_is_quoted_and_a_blank_line_is_a_row_of_one_column() {
    let (_folder, path) = written("a.csv", "text\na\n\n\"\"\nb\n");
    let expected = [Some("a"), None, Some(""), Some("b")].map(|text| text.map(str::to_owned));
    assert_eq!(column(&Table::open(&path).unwrap(), "text", 9).0, expected);
    let (_folder, path) = written("a.csv", "id,text\n\n1,a\n\n\n");
    assert_eq!(Table::open(&path).unwrap().rows(), 1);
}
