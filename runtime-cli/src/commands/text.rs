//! The text that a command reads: the same words as in `train`.

use crate::data::shard::ShardFolder;
use crate::data::{Dataset, TokenStream, texts};
use crate::train::{BUILTIN, builtin};
use anyhow::{Result, bail};
use clap::ValueEnum;
use hh_core::tokenizer::Tokenizer;
use serde::Serialize;
use std::path::PathBuf;

/// Which text.
#[derive(clap::Args)]
#[command(next_help_heading = "Text")]
pub(super) struct TextArgs {
    /// Text files (.txt, .jsonl, either also .gz or .zst), or builtin: the corpus that the program writes itself
    #[arg(long, value_name = "FILE", num_args = 1.., default_value = BUILTIN)]
    pub(super) data: Vec<PathBuf>,
    /// The field of a .jsonl line that holds the text
    #[arg(long, value_name = "NAME", default_value = "text")]
    pub(super) text_field: String,
}

impl TextArgs {
    /// The text, a chunk or a document at a time.
    ///
    /// # Errors
    /// One sentence for a file that cannot be read, and for `builtin` beside files.
    pub(super) fn texts(&self) -> Result<Box<dyn Iterator<Item = Result<String>> + Send + '_>> {
        match &self.data[..] {
            _ if self.is_builtin() => Ok(Box::new([Ok(builtin())].into_iter())),
            files if files.iter().any(|file| file.as_os_str() == BUILTIN) => bail!("{BUILTIN} can only stand alone: leave out the files"),
            files => Ok(Box::new(texts(files, &self.text_field)?)),
        }
    }

    /// The ids of the text; of a folder of shards those in it, which must be of the same tokenizer.
    ///
    /// # Errors
    /// As [`texts`](Self::texts), and for a text that the vocabulary cannot express.
    pub(super) fn stream(&self, tokenizer: &dyn Tokenizer) -> Result<TokenStream> {
        match &self.data[..] {
            [one] if one.is_dir() => {
                let folder = ShardFolder::open(one)?;
                folder.require(tokenizer)?;
                Ok(TokenStream::from_shards(folder).0)
            }
            _ => TokenStream::from_texts(tokenizer, self.texts()?),
        }
    }

    /// Whether it is the corpus that the program writes itself, the default.
    pub(super) fn is_builtin(&self) -> bool {
        matches!(&self.data[..], [one] if one.as_os_str() == BUILTIN)
    }

    /// Its name, for people.
    pub(super) fn name(&self) -> String {
        self.data.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Bytes of its files as they lie on the disk, if they are files.
    pub(super) fn file_bytes(&self) -> Option<u64> {
        self.data.iter().map(|file| file.metadata().ok().map(|metadata| metadata.len())).sum()
    }
}

/// Which part of the text is scored.
#[derive(clap::Args)]
pub(super) struct PartArgs {
    /// The held-out end of the text, or all of it
    #[arg(long, value_enum, default_value_t)]
    pub(super) split: Split,
    /// The part of the text that is held out
    #[arg(long, value_name = "PART", default_value_t = 0.1, allow_negative_numbers = true)]
    holdout: f64,
}

/// A part of a text.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Split {
    /// The end, which training held out.
    #[default]
    Validation,
    /// From the first token to the last.
    All,
}

impl PartArgs {
    /// The ids of the part.
    ///
    /// # Errors
    /// Those of [`TextArgs::stream`], and one sentence for a text too short to be scored.
    pub(super) fn stream(&self, text: &TextArgs, tokenizer: &dyn Tokenizer) -> Result<TokenStream> {
        let all = text.stream(tokenizer)?;
        let part = match self.split {
            Split::All => all,
            Split::Validation => Dataset::split(&all, self.holdout)?.validation,
        };
        if part.len() < 2 {
            bail!("{} has {} tokens; scoring needs two at least, to predict one from the other", text.name(), part.len());
        }
        Ok(part)
    }

    /// Its name, for people.
    pub(super) fn name(&self, text: &TextArgs) -> String {
        match self.split {
            Split::Validation => format!("the last {} of {}", self.holdout, text.name()),
            Split::All => text.name(),
        }
    }
}
