//! The text arguments shared by commands; the flags are those of `train`.

use crate::data::shard::ShardFolder;
use crate::data::{Dataset, TokenStream, ids, texts};
use crate::tokenizers;
use crate::train::{BUILTIN, builtin};
use anyhow::{Result, bail};
use clap::ValueEnum;
use hh_core::tokenizer::Tokenizer;
use serde::Serialize;
use std::path::PathBuf;

/// The text to read.
#[derive(clap::Args)]
#[command(next_help_heading = "Text")]
pub(super) struct TextArgs {
    /// Text files (.txt, .jsonl, also compressed as .gz or .zst), - for the standard input, or builtin: the generated corpus
    #[arg(long, value_name = "FILE", num_args = 1.., default_value = BUILTIN)]
    pub(super) data: Vec<PathBuf>,
    /// Field of a .jsonl line that contains the text
    #[arg(long, value_name = "NAME", default_value = "text")]
    pub(super) text_field: String,
}

impl TextArgs {
    /// The text, a chunk or a document at a time.
    ///
    /// # Errors
    /// A file that cannot be read, and `builtin` together with files.
    pub(super) fn texts(&self) -> Result<Box<dyn Iterator<Item = Result<String>> + Send + '_>> {
        match &self.data[..] {
            _ if self.is_builtin() => Ok(Box::new([Ok(builtin())].into_iter())),
            files if files.iter().any(|file| file.as_os_str() == BUILTIN) => {
                bail!("{BUILTIN} cannot be combined with files: leave out the files")
            }
            files => Ok(Box::new(texts(files, &self.text_field)?)),
        }
    }

    /// The token ids of the text, a piece at a time.
    ///
    /// # Errors
    /// As [`texts`](Self::texts), and in the iterator a text that the vocabulary cannot encode.
    pub(super) fn ids<'a>(&'a self, tokenizer: &'a dyn Tokenizer) -> Result<Box<dyn Iterator<Item = Result<Vec<u32>>> + 'a>> {
        match &self.data[..] {
            files if files.iter().any(|file| file.as_os_str() == BUILTIN) => Ok(Box::new(tokenizers::encode(tokenizer, self.texts()?))),
            files => Ok(ids(tokenizer, files, &self.text_field)?),
        }
    }

    /// The token ids of the text. A folder of shards must have been written with the same tokenizer.
    ///
    /// # Errors
    /// As [`texts`](Self::texts), a text that the vocabulary cannot encode, and shards of another tokenizer.
    pub(super) fn stream(&self, tokenizer: &dyn Tokenizer) -> Result<TokenStream> {
        match &self.data[..] {
            [one] if one.is_dir() => {
                let folder = ShardFolder::open(one)?;
                folder.require(tokenizer)?;
                Ok(TokenStream::from_shards(folder).0)
            }
            _ => TokenStream::collect(self.ids(tokenizer)?, tokenizer.vocab_size()),
        }
    }

    /// Whether it is the built-in corpus, the default.
    pub(super) fn is_builtin(&self) -> bool {
        matches!(&self.data[..], [one] if one.as_os_str() == BUILTIN)
    }

    /// Its name in messages.
    pub(super) fn name(&self) -> String {
        self.data.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Total size of its files on disk in bytes; `None` for the built-in corpus.
    pub(super) fn file_bytes(&self) -> Option<u64> {
        self.data.iter().map(|file| file.metadata().ok().map(|metadata| metadata.len())).sum()
    }
}

/// The split of the text to score.
#[derive(clap::Args)]
pub(super) struct PartArgs {
    /// Split to score: the held-out end of the text, or all of it
    #[arg(long, value_enum, default_value_t)]
    pub(super) split: Split,
    /// Held-out fraction of the text
    #[arg(long, value_name = "PART", default_value_t = 0.1, allow_negative_numbers = true)]
    holdout: f64,
}

/// A split of a text.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Split {
    /// The end, which is held out from training.
    #[default]
    Validation,
    /// From the first token to the last.
    All,
}

impl PartArgs {
    /// The token ids of the split.
    ///
    /// # Errors
    /// Those of [`TextArgs::stream`], and a split of fewer than two tokens.
    pub(super) fn stream(&self, text: &TextArgs, tokenizer: &dyn Tokenizer) -> Result<TokenStream> {
        let all = text.stream(tokenizer)?;
        let part = match self.split {
            Split::All => all,
            Split::Validation => Dataset::split(&all, self.holdout)?.validation,
        };
        if part.len() < 2 {
            bail!("{} has {} tokens; scoring needs at least two", text.name(), part.len());
        }
        Ok(part)
    }

    /// Its name in messages and reports.
    pub(super) fn name(&self, text: &TextArgs) -> String {
        match self.split {
            Split::Validation => format!("the last {} of {}", self.holdout, text.name()),
            Split::All => text.name(),
        }
    }
}
