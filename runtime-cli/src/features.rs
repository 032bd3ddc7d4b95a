//! The cargo features: which of them this build has, and the error message for the absent ones.

use crate::files::shown;
use std::fmt;
use std::path::Path;

/// An optional part of the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feature {
    /// Tables of texts in files.
    Tables,
    /// Byte-level BPE.
    Tokenizers,
    /// Download of data sets.
    Download,
    /// Pictures and the report.
    Plots,
    /// The small English model.
    English,
    /// The HTTP server.
    Serve,
}

/// Description of a feature.
struct Words {
    name: &'static str,
    gives: &'static str,
    absent: &'static str,
    present: bool,
}

macro_rules! words {
    ($name:literal, $gives:literal) => {
        Words {
            name: $name,
            gives: $gives,
            absent: concat!("hh-runtime was built without the feature `", $name, "`, which ", $gives, ": build with --features ", $name),
            present: cfg!(feature = $name),
        }
    };
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Tables, Self::Tokenizers, Self::Download, Self::Plots, Self::English, Self::Serve];

    const fn words(self) -> Words {
        match self {
            Self::Tables => words!("tables", "reads CSV, TSV, JSON Lines and Parquet as tables of texts, and embeds them"),
            Self::Tokenizers => words!("tokenizers", "trains byte-level BPE and reads tokenizer.json, vocab.bpe and merges.txt"),
            Self::Download => words!("download", "downloads public data sets, and models of the Hugging Face Hub"),
            Self::Plots => words!("plots", "draws curve.svg and other pictures, and writes the HTML report"),
            Self::English => words!("english", "contains a small English embedding model"),
            Self::Serve => words!("serve", "answers over HTTP with the interface of OpenAI's"),
        }
    }

    /// Its name in Cargo.toml.
    pub const fn name(self) -> &'static str {
        self.words().name
    }

    /// What it does, as a clause: "downloads public data sets".
    pub const fn gives(self) -> &'static str {
        self.words().gives
    }

    /// Whether this build has it.
    pub const fn is_present(self) -> bool {
        self.words().present
    }

    /// The path of a file that this feature writes, or its absence message.
    pub(crate) fn file(self, path: &Path) -> String {
        if self.is_present() { shown(path) } else { self.absent().to_owned() }
    }

    /// The message for a build without it: its name, what it does, and how to build with it.
    pub const fn absent(self) -> &'static str {
        self.words().absent
    }
}

/// The error for a feature that this build lacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Absent(pub Feature);

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.absent())
    }
}

impl std::error::Error for Absent {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_is_one_of_cargo_toml_and_belongs_to_full() {
        let manifest: toml::Table = include_str!("../Cargo.toml").parse().unwrap();
        let features = manifest["features"].as_table().unwrap();
        let full: Vec<&str> = features["full"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(full.len(), Feature::ALL.len());
        for feature in Feature::ALL {
            let name = feature.name();
            assert!(features.contains_key(name) && full.contains(&name), "{name}");
            assert!(feature.absent().ends_with(&format!("build with --features {name}")), "{}", feature.absent());
        }
    }
}
