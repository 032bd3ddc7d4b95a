use super::Embedder;
use crate::Error;

impl Embedder {
    /// The embedding model of English that comes with the crate: no file, no network. The README of the crate `hh-english`
    /// says what it is good for and how it was trained.
    ///
    /// # Errors
    /// [`Error::Core`] where memory is short.
    pub fn english() -> Result<Self, Error> {
        Self::from_static(hh_english::MODEL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EmbedOptions;

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
        let vectors = embedder.embed(&texts, &EmbedOptions::default()).unwrap();
        for i in 0..texts.len() {
            let hits = vectors.top_k(vectors.vector(i), 2).unwrap();
            assert_eq!((hits[0].index, hits[1].index), (i, i ^ 1), "{}: {}", texts[i], texts[hits[1].index]);
        }
    }

    /// Inputs of users whose embeddings differed before the tokenizer had a normaliser.
    #[test]
    fn a_text_has_one_embedding_however_it_is_typed() {
        let embedder = Embedder::english().unwrap();
        let text = "The old caf\u{e9} in Z\u{fc}rich doesn't open before nine, so we waited outside in the cold rain.";
        let typed = [
            text.to_owned(),
            text.replace(' ', "  "),
            text.replace(' ', "\t"),
            text.replace(' ', "\u{a0}"),
            text.replace(' ', " \u{200b}"),
            text.replace("before ", "before\r\n    "),
            text.replace('\u{e9}', "e\u{301}").replace('\u{fc}', "u\u{308}"),
            format!("\u{feff}\n{text}\u{2028}"),
            text.to_uppercase(),
        ];
        let vectors = embedder.embed(&typed, &EmbedOptions::default()).unwrap();
        let first = vectors.vector(0);
        for (i, typed) in typed.iter().enumerate().skip(1) {
            let similarity = vectors.vector(i).similarity(first).unwrap();
            assert!(similarity > 1.0 - 1e-6, "{typed:?}: {similarity}");
        }
        for blank in ["", " \u{a0}\n", "\u{200b}\u{feff}"] {
            let error = embedder.embed(&["a", blank], &EmbedOptions::default()).unwrap_err();
            assert!(matches!(error, Error::Empty { text: 1 }), "{error}");
        }
    }
}
