//! Rows of several texts.

use super::*;

/// Chunks of two bytes.
pub(super) fn pairs(text: &str) -> Result<Vec<std::ops::Range<usize>>> {
    Ok((0..text.len()).step_by(2).map(|start| start..text.len().min(start + 2)).collect())
}

const DOCUMENTS: &str = "{\"id\":1.50,\"text\":\"abcde\"}\n{\"text\":\" \",\"id\":{}}\n{\"id\":null}\n{\"id\":[],\"text\":\"\\ud83dz\"}\n";

#[test]
fn a_chunk_is_a_row_with_the_other_columns_and_its_place() {
    let (folder, table) = input("a.jsonl", DOCUMENTS);
    let out = output(&folder, "out.jsonl");
    let byte_pairs = |text: &str| if text.is_ascii() { pairs(text) } else { Ok(vec![0..3, 3..4]) };
    let job = Job { split: Some(&byte_pairs), ..job(&table, &out, Empty::Null) };
    let found = String::from_utf8(run(&job).unwrap()).unwrap();
    let place = |row: u64, start: u64, end: u64| {
        format!("\"chunk_row\":{row},\"chunk_item\":0,\"chunk_start\":{start},\"chunk_end\":{end},\"embedding\":")
    };
    let expected = [
        format!("{{\"id\":1.50,\"text\":\"ab\",{}[2,0.5]}}", place(0, 0, 2)),
        format!("{{\"id\":1.50,\"text\":\"cd\",{}[2,0.5]}}", place(0, 2, 4)),
        format!("{{\"id\":1.50,\"text\":\"e\",{}[1,0.5]}}", place(0, 4, 5)),
        format!("{{\"text\":\" \",\"id\":{{}},{}null}}", place(1, 0, 1)),
        format!("{{\"id\":null,\"text\":null,{}null}}", place(2, 0, 0)),
        format!("{{\"id\":[],\"text\":\"\u{fffd}\",{}[3,0.5]}}", place(3, 0, 3)),
        format!("{{\"id\":[],\"text\":\"z\",{}[1,0.5]}}", place(3, 3, 4)),
    ];
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn an_item_of_a_list_is_a_row() {
    let lines = "{\"n\":7,\"text\":[\"ab\",null,\"cde\"]}\n{\"n\":8,\"text\":[]}\n{\"n\":9,\"text\":null}\n{\"n\":10,\"text\":[\"x\"]}\n";
    let (folder, table) = input("a.jsonl", lines);
    for name in ["out.jsonl", "out.parquet"] {
        let out = output(&folder, name);
        run(&job(&table, &out, Empty::Null)).unwrap();
        let found = Table::open(out.path()).unwrap();
        assert_eq!(found.rows(), 6, "{name}");
        assert_eq!(found.columns().collect::<Vec<_>>(), ["n", "text", "chunk_row", "chunk_item", "chunk_start", "chunk_end", "embedding"]);
        let texts: Vec<_> = found.texts(&["text"], 9).unwrap().map(|batch| batch.unwrap().remove(0)).collect();
        assert_eq!(texts.concat(), [Some("ab"), None, Some("cde"), None, None, Some("x")].map(|text| text.map(str::to_owned)));
        for (column, expected) in [("n", [7.0, 7.0, 7.0, 8.0, 9.0, 10.0]), ("chunk_item", [0.0, 1.0, 2.0, 0.0, 0.0, 0.0])] {
            assert_eq!(found.numbers(column).unwrap(), expected, "{name}");
        }
    }
}

#[test]
fn chunks_stopped_anywhere_are_those_of_an_uninterrupted_job() {
    let content = (0..12).map(|i| format!("{{\"text\": \"{}\", \"n\": {i}}}\n", "x".repeat(i * 7 % 11))).collect::<String>();
    let (folder, table) = input("a.jsonl", &content);
    for name in ["whole.jsonl", "whole.parquet"] {
        let out = output(&folder, name);
        let whole = run(&Job { split: Some(&pairs), rows: 2, ..job(&table, &out, Empty::Null) }).unwrap();
        let parts = output(&folder, &name.replace("whole", "parts"));
        for patience in 2..9 {
            let job = Job { split: Some(&pairs), rows: 2, ..job(&table, &parts, Empty::Null) };
            loop {
                let mut unfinished = Unfinished::open(parts.path(), &identity("a"), 2, false).unwrap();
                let mut watch = Patience(Cell::new(patience + unfinished.rows() as usize));
                if crate::bulk::embed(&job, &mut unfinished, &mut embed_by_length, &mut watch).unwrap() {
                    assert!(assemble(&job, &unfinished, &mut forever()).unwrap());
                    unfinished.remove().unwrap();
                    break;
                }
            }
            assert_eq!(fs::read(parts.path()).unwrap(), whole, "{name} with {patience}");
        }
    }
}
