//! What commands on embeddings share: the model, and its pooling.

#[cfg(not(feature = "english"))]
use crate::features::{Absent, Feature};
use anyhow::Result;
use clap::ValueEnum;
use hh::{Embedder, Pooling};

/// Pooling of hidden states into one embedding. Every model of this family can give all of them.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PoolingName {
    /// The mean over the text's positions.
    Mean,
    /// The last position.
    Last,
    /// The mean with weights 1, 2, 3, ….
    Weighted,
}

impl From<PoolingName> for Pooling {
    fn from(name: PoolingName) -> Self {
        match name {
            PoolingName::Mean => Self::Mean,
            PoolingName::Last => Self::Last,
            PoolingName::Weighted => Self::Weighted,
        }
    }
}

/// The model of a checkpoint or run folder, or the built-in English one, and its identity.
///
/// # Errors
/// A checkpoint that cannot be used, and none in a build without the feature `english`.
#[cfg(feature = "tables")]
pub(super) fn model(path: Option<&std::path::Path>) -> Result<(Embedder, String)> {
    let Some(path) = path else { return Ok((english()?, concat!("the English one of version ", env!("CARGO_PKG_VERSION")).into())) };
    let source = crate::loading::Source::open(path)?;
    Ok((Embedder::from_file(source.path())?, source.sha256()))
}

/// The built-in English model.
///
/// # Errors
/// A build without the feature `english`.
#[cfg(feature = "english")]
pub(super) fn english() -> Result<Embedder> {
    Ok(Embedder::english()?)
}

/// As above.
#[cfg(not(feature = "english"))]
pub(super) fn english() -> Result<Embedder> {
    Err(anyhow::Error::from(Absent(Feature::English)).context("no model is given"))
}
