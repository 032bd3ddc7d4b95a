use hh_core::embed::{Convention, Pooling};

/// What to make of texts. What is not said is the model's own.
///
/// ```
/// use hh::{EmbedOptions, Output};
///
/// let short_query = EmbedOptions { truncate_dim: Some(64), output: Output::Int8, ..EmbedOptions::query() };
/// # assert!(short_query.normalise);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EmbedOptions {
    /// Which of the model's prompts stands before each text.
    pub prompt: Prompt,
    /// How hidden states become one vector, where not as the model was trained to.
    pub pooling: Option<Pooling>,
    /// Numbers to keep, the first ones; all if absent. Models that were trained for it lose little.
    pub truncate_dim: Option<usize>,
    /// Vectors of length 1, as cosines and dot products want them. [`Output::Int8`] is always of such.
    pub normalise: bool,
    /// Data type of an embedding.
    pub output: Output,
    /// Reads only so many tokens of a text, the prompt's among them; all if absent.
    pub max_tokens: Option<usize>,
    /// What becomes of a text of nothing but white space.
    pub blank: Blank,
}

impl Default for EmbedOptions {
    fn default() -> Self {
        Self {
            prompt: Prompt::Plain,
            pooling: None,
            truncate_dim: None,
            normalise: true,
            output: Output::F32,
            max_tokens: None,
            blank: Blank::Refuse,
        }
    }
}

impl EmbedOptions {
    /// For texts that ask.
    pub fn query() -> Self {
        Self { prompt: Prompt::Query, ..Self::default() }
    }

    /// For texts that are to be found.
    pub fn document() -> Self {
        Self { prompt: Prompt::Document, ..Self::default() }
    }
}

/// What a text is for: models may be trained with a prompt before each kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Prompt {
    /// To be compared with its like; no prompt.
    #[default]
    Plain,
    /// It asks.
    Query,
    /// It is to be found.
    Document,
}

impl Prompt {
    /// The prompt of this kind; empty if there is none.
    pub fn prefix(self, convention: &Convention) -> &str {
        match self {
            Self::Plain => "",
            Self::Query => &convention.query,
            Self::Document => &convention.document,
        }
    }
}

/// What becomes of a text of nothing but white space.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Blank {
    /// It is an error, which names the text.
    #[default]
    Refuse,
    /// Its vector is zeros, whose similarity to every vector is 0.
    Zero,
}

/// Data type of an embedding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Output {
    /// As they are computed.
    #[default]
    F32,
    /// A quarter of the size: `round(127 x)` of a vector of length 1.
    Int8,
    /// A 32nd of the size: a bit for each number, 1 where it is above 0; the first number is the highest bit of the first
    /// byte, and the last byte is filled with zeros. As sentence-transformers' `ubinary`.
    Binary,
}
