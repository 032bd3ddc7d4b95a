//! The functions in queries.

use datafusion::{
    arrow::{
        array::{Array, AsArray, RecordBatch, StringArray},
        datatypes::{DataType, Field, Float32Type, Schema},
    },
    datasource::MemTable,
    prelude::{SessionConfig, SessionContext},
};
use hh::{EmbedOptions, Embedder};
use std::sync::Arc;

const TEXTS: [Option<&str>; 6] = [
    Some("A cat sits on the mat."),
    Some("Shares fell on Monday."),
    None,
    Some(" \n"),
    Some("Größe — 中文"),
    Some("A cat sits on the mat."),
];

/// `rows(text)` of 2,400 rows in three partitions.
fn context() -> SessionContext {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2).with_batch_size(700));
    let schema = Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, true)]));
    let texts = Arc::new(StringArray::from_iter((0..800).map(|i| TEXTS[i % TEXTS.len()])));
    let batch = RecordBatch::try_new(schema.clone(), vec![texts]).unwrap();
    let table = MemTable::try_new(schema, vec![vec![batch.clone()], vec![batch.clone()], vec![batch]]).unwrap();
    context.register_table("rows", Arc::new(table)).unwrap();
    hh_datafusion::register(&context, Embedder::english().unwrap());
    context
}

async fn rows(sql: &str) -> Vec<RecordBatch> {
    context().sql(sql).await.unwrap().collect().await.unwrap()
}

async fn refused(sql: &str) -> String {
    match context().sql(sql).await {
        Err(e) => e.to_string(),
        Ok(plan) => plan.collect().await.unwrap_err().to_string(),
    }
}

#[tokio::test]
async fn rows_are_those_of_the_library() {
    let embedder = Embedder::english().unwrap();
    let mut count = 0;
    for batch in rows("SELECT text, embed(text, 'document') AS vector FROM rows").await {
        let (texts, vectors) = (batch.column(0), batch.column(1).as_fixed_size_list());
        let texts = datafusion::arrow::compute::cast(texts, &DataType::Utf8).unwrap();
        for (row, text) in texts.as_string::<i32>().iter().enumerate() {
            count += 1;
            let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
                assert!(vectors.is_null(row));
                continue;
            };
            let alone = embedder.embed(&[text], &EmbedOptions::document()).unwrap();
            let found = vectors.value(row);
            let far = found.as_primitive::<Float32Type>().values().iter().zip(alone.as_f32().unwrap());
            assert!(far.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) < 1e-5, "{text}");
        }
    }
    assert_eq!(count, 2400);
}

#[tokio::test]
async fn a_question_finds_its_answer() {
    let sql =
        "SELECT DISTINCT text, cosine(embed(text), embed('Where is the cat?')) AS score FROM rows ORDER BY score DESC NULLS LAST LIMIT 1";
    let found = rows(sql).await;
    let text = datafusion::arrow::compute::cast(found[0].column(0), &DataType::Utf8).unwrap();
    assert_eq!(text.as_string::<i32>().value(0), "A cat sits on the mat.");
    let one = rows("SELECT cosine(embed('a'), embed('a')), cosine(embed(NULL), embed('a')), embed('') IS NULL").await;
    assert!((one[0].column(0).as_primitive::<Float32Type>().value(0) - 1.0).abs() < 1e-6);
    assert!(one[0].column(1).is_null(0) && one[0].column(2).as_boolean().value(0));
}

#[tokio::test]
async fn nonsense_is_refused_in_a_sentence() {
    for (sql, said) in [
        ("SELECT embed(text, 'poem') FROM rows", "give 'plain', 'query' or 'document'"),
        ("SELECT embed(text, text) FROM rows", "the kind of a text is a column"),
        ("SELECT cosine(text, embed(text)) FROM rows", "cosine takes two embeddings of the same dimensions"),
        ("SELECT cosine(embed(text)) FROM rows", "cosine"),
        ("SELECT embed() FROM rows", "embed"),
    ] {
        let error = refused(sql).await;
        assert!(error.contains(said), "{sql}: {error}");
    }
}
