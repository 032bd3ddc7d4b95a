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
}
