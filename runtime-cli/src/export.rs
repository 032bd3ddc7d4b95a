//! Export of a checkpoint for inference: without training-only parameters, and optionally in a smaller data type.

use crate::files;
use crate::loading::Source;
use anyhow::{Context, Result};
use hh::tokenizer::with_embedding_normalizer;
use hh_core::checkpoint::{self, Checkpoint, Dtype, Metadata, Stored, TOKENIZER, Writer};
use hh_core::config::Config;
use hh_core::error::Error;
use hh_core::model::shapes;
use hh_core::shape::Shape;
use std::io;
use std::path::Path;

/// The result of an export.
#[derive(Clone, PartialEq, Debug)]
pub struct Exported {
    /// Number of training-only parameters that were left out.
    pub stripped: usize,
    /// Number of parameters written.
    pub written: usize,
    /// Sizes of the input and output files in bytes.
    pub bytes: [u64; 2],
    /// The largest absolute rounding error and the name of its tensor.
    pub largest: (f32, String),
    /// Relative root-mean-square error over all parameters: `sqrt(Σ (x − y)² / Σ x²)`.
    pub relative: f64,
}

/// An error of the file or of the weights, as an I/O error.
struct Failure(io::Error);

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self(io::Error::other(e))
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Self(e)
    }
}

/// Writes a checkpoint atomically in the format `stored`, with its metadata and without the rectified-flow head; with `normalize`,
/// its tokenizer gets the normaliser of embeddings.
///
/// # Errors
/// An invalid or damaged source, a tokenizer that cannot have that normaliser, a value too large for the data type, or a file that
/// cannot be written.
pub fn export(source: &Source, out: &Path, stored: Stored, normalize: bool) -> Result<Exported> {
    let outgoing = Outgoing::new(source, normalize)?;
    let bytes = outgoing.write(out, &outgoing.metadata, stored, |name| Some(name))?;
    outgoing.compared(&Source::open(out)?, bytes)
}

/// A checkpoint without what only training needs.
pub(crate) struct Outgoing<'a> {
    source: &'a Source,
    from: Checkpoint<'a>,
    /// The configuration, without a rectified-flow head.
    pub(crate) config: Config,
    /// The metadata of an export.
    pub(crate) metadata: Metadata,
    /// Names and shapes of the tensors.
    all: Vec<(String, Shape)>,
    stripped: usize,
}

impl<'a> Outgoing<'a> {
    /// See [`export`].
    ///
    /// # Errors
    /// An invalid source, and a tokenizer that cannot have the normaliser of embeddings.
    pub(crate) fn new(source: &'a Source, normalize: bool) -> Result<Self> {
        let from = source.checkpoint()?;
        let mut config = from.config().clone();
        let flow = from.names().filter(|name| name.starts_with("flow.")).filter_map(|name| from.tensor(name).ok());
        let stripped = flow.map(|tensor| tensor.shape.count()).sum();
        config.flow_hidden = 0;
        let all = shapes(&config);
        from.expect(all.iter().map(|(name, shape)| (name.as_str(), *shape))).with_context(|| source.cannot_use())?;
        let mut metadata = checkpoint::metadata(&config, from.metadata());
        if let Some(tokenizer) = metadata.get_mut(TOKENIZER).filter(|_| normalize) {
            *tokenizer = with_embedding_normalizer(tokenizer).with_context(|| source.cannot_use())?;
        }
        Ok(Self { source, from, config, metadata, all, stripped })
    }

    /// The data type of all tensors; f32 where they differ, or some are in blocks.
    pub(crate) fn dtype(&self) -> Dtype {
        let mut types = self.all.iter().map(|(name, _)| self.from.tensor(name).map_or(Dtype::F32, |tensor| tensor.dtype));
        let first = types.next().unwrap_or(Dtype::F32);
        if types.all(|dtype| dtype == first) { first } else { Dtype::F32 }
    }

    /// Whether some tensors are block-quantised.
    pub(crate) fn is_quantised(&self) -> bool {
        self.all.iter().any(|(name, shape)| matches!(self.from.blocks(name, *shape), Ok(Some(_))))
    }

    /// Writes the tensors that `renamed` gives a name, and returns the size of the file in bytes.
    ///
    /// # Errors
    /// A damaged source, a value too large for the data type, or a file that cannot be written.
    pub(crate) fn write(&self, out: &Path, metadata: &Metadata, stored: Stored, renamed: impl Fn(&str) -> Option<&str>) -> Result<u64> {
        let named: Vec<_> = self.all.iter().filter_map(|(name, shape)| Some((name.as_str(), renamed(name)?, *shape))).collect();
        let mut bytes = 0;
        files::write_atomically(out, |file| {
            let mut write = || -> Result<(), Failure> {
                let sink = |piece: &[u8]| -> Result<(), Failure> {
                    bytes += piece.len() as u64;
                    Ok(file.write_all(piece)?)
                };
                let mut writer = Writer::begin(metadata, named.iter().map(|&(_, name, shape)| (name, shape)), stored, sink)?;
                let mut values = Vec::new();
                for (own, name, shape) in &named {
                    if let Some(blocks) = self.from.blocks(own, *shape)?
                        && writer.blocks(name, &blocks)?
                    {
                        continue;
                    }
                    values.resize(shape.count(), 0.0);
                    self.from.read(own, *shape, &mut values)?;
                    writer.tensor(name, &values)?;
                }
                writer.finish();
                Ok(())
            };
            write().map_err(|Failure(e)| e)
        })?;
        Ok(bytes)
    }

    /// What an export came to, which has `bytes` bytes.
    ///
    /// # Errors
    /// An export that cannot be read.
    pub(crate) fn compared(&self, made: &Source, bytes: u64) -> Result<Exported> {
        let (largest, relative) = distance(&self.from, &made.checkpoint()?, &self.all)?;
        let written = self.all.iter().map(|(_, shape)| shape.count()).sum();
        Ok(Exported { stripped: self.stripped, written, bytes: [self.source.bytes().len() as u64, bytes], largest, relative })
    }
}

/// The largest absolute difference of two checkpoints with its tensor, and the relative root-mean-square difference.
fn distance(from: &Checkpoint<'_>, made: &Checkpoint<'_>, all: &[(String, Shape)]) -> Result<((f32, String), f64)> {
    let (mut largest, mut errors, mut squares) = ((0.0f32, String::new()), 0.0f64, 0.0f64);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (name, shape) in all {
        before.resize(shape.count(), 0.0);
        after.resize(shape.count(), 0.0);
        from.read(name, *shape, &mut before)?;
        made.read(name, *shape, &mut after)?;
        for (x, y) in before.iter().zip(&after) {
            let error = (x - y).abs();
            if error > largest.0 {
                largest = (error, name.clone());
            }
            errors += f64::from(error).powi(2);
            squares += f64::from(*x).powi(2);
        }
    }
    Ok((largest, (errors / squares.max(f64::MIN_POSITIVE)).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loading::tests as models;
    use hh_core::quant::Format;
    use hh_core::tokenizer::Tokenizer;
    use std::fs;

    #[test]
    fn an_export_is_a_checkpoint_with_the_same_weights_without_the_flow_head() {
        let folder = tempfile::tempdir().unwrap();
        let (model, out) = (folder.path().join("m.safetensors"), folder.path().join("out.safetensors"));
        fs::write(&model, models::good()).unwrap();
        let source = Source::open(&model).unwrap();
        for (dtype, size, worst) in [(Dtype::F32, 4, 0.0), (Dtype::F16, 2, 1.0 / 1024.0), (Dtype::Bf16, 2, 1.0 / 128.0)] {
            let done = export(&source, &out, dtype.into(), false).unwrap();
            assert_eq!(done.stripped, 2 * 16 * 8 + 8 * 16 + 2 * 8, "the head of {dtype:?}");
            assert_eq!(done.bytes[1], fs::metadata(&out).unwrap().len());
            let again = Source::open(&out).unwrap();
            assert_eq!(again.bytes().len() - again.header().len(), done.written * size);
            let loaded = again.load(&mut models::cpu(), None).unwrap();
            assert!(loaded.model.params.flow.is_none() && loaded.context == 32);
            let (before, after) = (source.checkpoint().unwrap(), again.checkpoint().unwrap());
            let mut largest = 0.0f32;
            for (name, shape) in shapes(&loaded.model.config) {
                let mut values = [vec![0.0; shape.count()], vec![0.0; shape.count()]];
                before.read(&name, shape, &mut values[0]).unwrap();
                after.read(&name, shape, &mut values[1]).unwrap();
                for (x, y) in values[0].iter().zip(&values[1]) {
                    assert!((x - y).abs() <= worst * x.abs().max(6.1e-5), "{name}: {x} became {y}");
                    largest = largest.max((x - y).abs());
                }
            }
            assert_eq!(done.largest.0, largest);
            assert_eq!(done.relative == 0.0, dtype == Dtype::F32);
        }
    }

    #[test]
    fn a_quantised_export_is_smaller_and_can_be_exported_again() {
        let folder = tempfile::tempdir().unwrap();
        let [model, small, again] = ["m", "small", "again"].map(|name| folder.path().join(name));
        let config = Config { width: 64, embed_dim: 64, ffn: 96, ..models::config() };
        let notes = [(checkpoint::TOKENIZER, models::chars().to_json())];
        fs::write(&model, models::checkpoint(&config, &notes, |_, _| ())).unwrap();
        let source = Source::open(&model).unwrap();
        let mut sizes = vec![source.bytes().len() as u64];
        for (format, worst) in [(Format::Q8, 0.007), (Format::Q4, 0.1)] {
            let done = export(&source, &small, Stored::Quantised(format), false).unwrap();
            assert!(done.relative > 0.0 && done.relative < worst, "{format:?}: {}", done.relative);
            sizes.push(done.bytes[1]);
            let copied = export(&Source::open(&small).unwrap(), &again, Stored::Quantised(format), false).unwrap();
            assert_eq!((copied.relative, fs::read(&again).unwrap()), (0.0, fs::read(&small).unwrap()), "blocks are copied");
            let widened = export(&Source::open(&small).unwrap(), &again, Dtype::F32.into(), false).unwrap();
            assert_eq!((widened.relative, widened.stripped, widened.written), (0.0, 0, done.written));
            Source::open(&small).unwrap().load(&mut models::cpu(), None).unwrap();
        }
        assert!(sizes.is_sorted_by(|a, b| a > b), "{sizes:?}");
    }

    #[test]
    fn only_a_lower_case_bpe_can_be_normalised() {
        let folder = tempfile::tempdir().unwrap();
        let (model, out) = (folder.path().join("m.safetensors"), folder.path().join("out.safetensors"));
        fs::write(&model, models::good()).unwrap();
        let error = format!("{:#}", export(&Source::open(&model).unwrap(), &out, Dtype::F32.into(), true).unwrap_err());
        assert!(error.contains("no byte-level BPE") && !out.exists(), "{error}");
        let lower = r#"{"kind":"bpe","tokenizer":{"normalizer":{"type":"Lowercase"},"model":{"vocab":{"b":1,"a":0}}}}"#;
        let with = with_embedding_normalizer(lower).unwrap();
        assert_eq!(with_embedding_normalizer(&with).unwrap(), with);
        let [lower, with] = [lower, &with].map(|json| serde_json::from_str::<serde_json::Value>(json).unwrap()["tokenizer"].clone());
        assert_eq!((&with["model"], with["normalizer"]["type"].as_str()), (&lower["model"], Some("Sequence")));
        assert!(with_embedding_normalizer(r#"{"kind":"bpe","tokenizer":{"normalizer":null}}"#).is_err());
    }

    #[test]
    fn a_value_too_large_is_named_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (model, out) = (folder.path().join("m.safetensors"), folder.path().join("out.safetensors"));
        fs::write(&model, models::checkpoint(&models::config(), &[], |_, values| values[0] = 1e6)).unwrap();
        let error = format!("{:#}", export(&Source::open(&model).unwrap(), &out, Dtype::F16.into(), false).unwrap_err());
        assert!(error.contains("embed.weight has the value 1000000") && error.contains("too large for F16"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
