//! The model that comes with the library.

use super::{Embedder, Error};

static MODEL: &[u8] = include_bytes!("../../models/english.safetensors");

impl Embedder {
    /// A small embedder of English text, inside of the program: no file, no network. See `models/` for what it is and what it
    /// was trained on.
    ///
    /// # Errors
    /// [`Error::Device`] where memory is short.
    pub fn english() -> Result<Self, Error> {
        Self::from_static(MODEL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedder::Options;
    use crate::embedding_eval::similarity;
    use std::path::Path;

    #[test]
    fn the_model_that_comes_along_knows_what_is_alike() {
        let embedder = Embedder::english().unwrap();
        assert_eq!(embedder.dim(), 384);
        let texts = [
            "A man is playing a guitar.",
            "Someone plays an instrument.",
            "The stock market fell sharply on Monday.",
            "Shares dropped at the start of the week.",
            "Boil the pasta in salted water.",
            "Cook noodles in a pot.",
        ];
        let vectors = embedder.embed(&texts, &Options::default()).unwrap();
        for i in 0..texts.len() {
            let hits = vectors.top_k(vectors.vector(i), 2).unwrap();
            assert_eq!((hits[0].index, hits[1].index), (i, i ^ 1), "{}: {}", texts[i], texts[hits[1].index]);
        }
    }

    #[test]
    fn the_model_that_comes_along_keeps_its_place_on_sts() {
        let shared = std::env::var_os("HH_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), Into::into);
        let file = shared.join("data/stsbenchmark/sts-test.csv");
        if !file.is_file() {
            return eprintln!("skipped: no STS Benchmark at {} (set HH_SHARED)", file.display());
        }
        let found = similarity(&Embedder::english().unwrap(), &file, &Options::default()).unwrap().spearman;
        assert!((78.9..79.3).contains(&found), "{found}");
    }
}
