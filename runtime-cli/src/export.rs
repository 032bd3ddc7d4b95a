//! A checkpoint made smaller: without what only training needs, and in a narrower number type.

use crate::files;
use crate::loading::Source;
use anyhow::{Context, Result};
use hh_core::checkpoint::{self, Dtype, Writer};
use hh_core::error::Error;
use hh_core::model::shapes;
use std::io;
use std::path::Path;

/// What an export changed.
#[derive(Clone, PartialEq, Debug)]
pub struct Exported {
    /// Numbers that were left out, since only training needs them.
    pub stripped: usize,
    /// Numbers that were written.
    pub written: usize,
    /// Bytes of the file that was read, and of the one that was written.
    pub bytes: [u64; 2],
    /// The largest rounding error, and the tensor that it is in.
    pub largest: (f32, String),
    /// Root of the summed squared errors over that of the summed squares.
    pub relative: f64,
}

/// A failure of the file or of the weights, as the file's.
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

/// Writes a checkpoint anew, whole or not at all, with its metadata, without a rectified-flow head, as `dtype`.
///
/// # Errors
/// One sentence for a source that is no checkpoint or is damaged, a value too large for `dtype`, and a place that cannot be
/// written to.
pub fn export(source: &Source, out: &Path, dtype: Dtype) -> Result<Exported> {
    let from = source.checkpoint()?;
    let mut config = from.config().clone();
    let whole: usize = from.names().filter_map(|name| from.tensor(name).ok()).map(|tensor| tensor.shape.count()).sum();
    config.flow_hidden = 0;
    let all = shapes(&config);
    let named = || all.iter().map(|(name, shape)| (name.as_str(), *shape));
    from.expect(named()).with_context(|| source.cannot_use())?;
    let metadata = checkpoint::metadata(&config, from.metadata());
    let mut bytes = 0;
    let (mut largest, mut errors, mut squares) = ((0.0f32, String::new()), 0.0f64, 0.0f64);
    files::write_atomically(out, |file| {
        let mut write = || -> Result<(), Failure> {
            let sink = |piece: &[u8]| -> Result<(), Failure> {
                bytes += piece.len() as u64;
                Ok(file.write_all(piece)?)
            };
            let mut writer = Writer::begin(&metadata, named(), dtype, sink)?;
            let (mut values, mut stored, mut rounded) = (Vec::new(), Vec::new(), Vec::new());
            for (name, shape) in named() {
                values.resize(shape.count(), 0.0);
                from.read(name, shape, &mut values)?;
                writer.tensor(name, &values)?;
                stored.resize(values.len() * dtype.size(), 0);
                rounded.resize(values.len(), 0.0);
                dtype.encode(&values, &mut stored);
                dtype.decode(&stored, &mut rounded);
                for (&x, rounded) in values.iter().zip(&rounded) {
                    let error = (x - rounded).abs();
                    if error > largest.0 {
                        largest = (error, name.to_owned());
                    }
                    errors += f64::from(error).powi(2);
                    squares += f64::from(x).powi(2);
                }
            }
            writer.finish();
            Ok(())
        };
        write().map_err(|Failure(e)| e)
    })?;
    let written = named().map(|(_, shape)| shape.count()).sum();
    let relative = (errors / squares.max(f64::MIN_POSITIVE)).sqrt();
    Ok(Exported { stripped: whole - written, written, bytes: [source.bytes().len() as u64, bytes], largest, relative })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loading::tests as models;
    use std::fs;

    #[test]
    fn an_export_has_the_same_weights_but_the_flow_head_and_is_a_checkpoint_again() {
        let folder = tempfile::tempdir().unwrap();
        let (model, out) = (folder.path().join("m.safetensors"), folder.path().join("out.safetensors"));
        fs::write(&model, models::good()).unwrap();
        let source = Source::open(&model).unwrap();
        for (dtype, size, worst) in [(Dtype::F32, 4, 0.0), (Dtype::F16, 2, 1.0 / 1024.0), (Dtype::Bf16, 2, 1.0 / 128.0)] {
            let done = export(&source, &out, dtype).unwrap();
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
    fn a_value_too_large_is_named_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (model, out) = (folder.path().join("m.safetensors"), folder.path().join("out.safetensors"));
        fs::write(&model, models::checkpoint(&models::config(), &[], |_, values| values[0] = 1e6)).unwrap();
        let error = format!("{:#}", export(&Source::open(&model).unwrap(), &out, Dtype::F16).unwrap_err());
        assert!(error.contains("embed.weight has the value 1000000") && error.contains("too large for F16"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
