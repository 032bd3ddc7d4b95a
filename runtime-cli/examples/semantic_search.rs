//! Finds the passages of a folder of text files that are nearest to a question in meaning:
//!
//! ```sh
//! cargo run --release --example semantic_search -- FOLDER "question" [MODEL.safetensors]
//! ```

use hh_runtime::{Embedder, embedder::Options};
use std::{env, error::Error, fs, path::PathBuf};

/// Passages to print.
const BEST: usize = 5;
/// Bytes that a passage has at least, unless the file ends: short paragraphs are joined.
const PASSAGE: usize = 300;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [folder, question, model @ ..] = &args[..] else {
        return Err("give a folder of .txt or .md files, a question, and maybe a checkpoint".into());
    };
    let embedder = embedder(model.first())?;

    let (mut files, mut passages) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "txt" || e == "md") {
            for passage in split(&String::from_utf8_lossy(&fs::read(&path)?)) {
                files.push(path.clone());
                passages.push(passage);
            }
        }
    }
    // An index is nothing but the vectors: `Output::Int8` or `Output::Binary` would make it smaller.
    let index = embedder.embed(&passages, &Options::document())?;
    let question = embedder.embed(&[question], &Options::query())?;

    for hit in index.top_k(question.vector(0), BEST)? {
        let file: &PathBuf = &files[hit.index];
        println!("{:.3}  {}\n       {}\n", hit.score, file.display(), passages[hit.index].replace('\n', " "));
    }
    Ok(())
}

/// The model of a file, or the one that comes with the library.
fn embedder(file: Option<&String>) -> Result<Embedder, Box<dyn Error>> {
    match file {
        Some(file) => Ok(Embedder::from_file(file)?),
        #[cfg(feature = "english")]
        None => Ok(Embedder::english()?),
        #[cfg(not(feature = "english"))]
        None => Err("give a checkpoint as well, or build with --features english".into()),
    }
}

/// Paragraphs, joined to passages.
fn split(text: &str) -> Vec<String> {
    let mut passages: Vec<String> = Vec::new();
    for paragraph in text.split("\n\n").map(str::trim).filter(|p| !p.is_empty()) {
        match passages.last_mut() {
            Some(last) if last.len() < PASSAGE => *last += &format!("\n{paragraph}"),
            _ => passages.push(paragraph.to_owned()),
        }
    }
    passages
}
