//! Embeds passages and finds those nearest to a question in meaning:
//!
//! ```sh
//! cargo run --release -p hh --features english --example search -- ["question" [FOLDER [MODEL.safetensors]]]
//! ```
//!
//! FOLDER has .txt and .md files; without it, a few sentences are searched.

use hh::{EmbedOptions, Embedder};
use std::{env, error::Error, fs};

/// Passages to print.
const BEST: usize = 3;
/// Bytes of a passage at least, unless the file ends: short paragraphs are joined.
const PASSAGE: usize = 300;

const SENTENCES: [&str; 6] = [
    "The cat sleeps on the warm windowsill.",
    "Shares fell sharply after the central bank raised its rate.",
    "Simmer the tomatoes with garlic until the sauce thickens.",
    "The goalkeeper saved two penalties in the final.",
    "A comet will be visible to the naked eye in October.",
    "She repaired the bicycle's front brake with a new cable.",
];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let question = args.first().map_or("Which pet is resting?", String::as_str);
    let embedder = match args.get(2) {
        Some(file) => Embedder::from_file(file)?,
        None => Embedder::english()?,
    };
    let passages = match args.get(1) {
        Some(folder) => read(folder)?,
        None => SENTENCES.map(|sentence| ("sentences".to_owned(), sentence.to_owned())).into(),
    };
    let texts: Vec<&str> = passages.iter().map(|(_, text)| text.as_str()).collect();

    // An index is the embeddings; `Output::Int8` and `Output::Binary` make it smaller.
    let index = embedder.embed(&texts, &EmbedOptions::document())?;
    let query = embedder.embed(&[question], &EmbedOptions::query())?;
    println!("{question}");
    for hit in index.top_k(query.vector(0), BEST)? {
        let (file, text) = &passages[hit.index];
        println!("{:.3}  {file}: {}", hit.score, text.replace('\n', " "));
    }
    Ok(())
}

/// The passages of the .txt and .md files of a folder, each with its file.
fn read(folder: &str) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut passages: Vec<(String, String)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.extension().is_some_and(|e| e == "txt" || e == "md") {
            continue;
        }
        let (file, first) = (path.display().to_string(), passages.len());
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        for paragraph in text.split("\n\n").map(str::trim).filter(|p| !p.is_empty()) {
            match passages[first..].last_mut() {
                Some((_, last)) if last.len() < PASSAGE => *last += &format!("\n{paragraph}"),
                _ => passages.push((file.clone(), paragraph.to_owned())),
            }
        }
    }
    Ok(passages)
}
