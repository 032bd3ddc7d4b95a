//! Weights on a device: fresh, from a checkpoint, or zeros of their shapes.

use crate::{
    backend::{Device, Precision, ZeroCopy},
    checkpoint::Checkpoint,
    config::Config,
    error::Error,
    init,
    layers::embedding::TABLE,
    model::{Params, shapes},
    quant::QuantView,
    shape::Shape,
};
use alloc::vec::Vec;

/// Weights with the configuration that they belong to.
pub struct Model<T> {
    /// The architecture.
    pub config: Config,
    /// The weights.
    pub params: Params<T>,
}

impl<T> Model<T> {
    /// Initial weights, to be trained; every tensor is a function of its name and the seed.
    ///
    /// # Errors
    /// [`Error::Config`] for an invalid configuration, [`Error::Device`] where the device is out of memory.
    pub fn init<B: Device<Tensor = T>>(b: &mut B, config: Config, seed: u64) -> Result<Self, Error> {
        config.validate()?;
        let params = params(b, &config, Precision::Master, |name, shape, out| {
            init::value(name, shape, &config, seed, out);
            Ok(())
        })?;
        Ok(Self { config, params })
    }

    /// The weights of a checkpoint. A rectified-flow head, which only training needs, may be absent from the file; the
    /// model then has none.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the first tensor that is missing, of another shape, or not finite;
    /// [`Error::Device`] where the device is out of memory.
    ///
    /// Matrices in blocks stay so where the backend computes with them; such a model runs, and cannot be trained.
    pub fn from_checkpoint<B: Device<Tensor = T>>(b: &mut B, checkpoint: &Checkpoint<'_>) -> Result<Self, Error> {
        Self::read(b, checkpoint, |b, _, blocks| b.upload_quantised(blocks).map(Some).map_err(Error::device), |_, _, _| Ok(None))
    }

    /// As [`from_checkpoint`](Self::from_checkpoint), for text in batches: of the matrices in blocks only the embedding stays so,
    /// of which few rows are read; the others become numbers, whose products are the faster ones where there are many rows.
    ///
    /// # Errors
    /// Those of [`from_checkpoint`](Self::from_checkpoint).
    pub fn for_batches<B: Device<Tensor = T>>(b: &mut B, checkpoint: &Checkpoint<'_>) -> Result<Self, Error> {
        Self::read(
            b,
            checkpoint,
            |b, name, blocks| (name == TABLE).then(|| b.upload_quantised(blocks)).transpose().map_err(Error::device),
            |_, _, _| Ok(None),
        )
    }

    /// As [`for_batches`](Self::for_batches), of bytes that stay: the embedding is read where it lies.
    ///
    /// # Errors
    /// Those of [`from_checkpoint`](Self::from_checkpoint).
    pub fn for_batches_in_place<B: ZeroCopy<Tensor = T>>(b: &mut B, checkpoint: &Checkpoint<'static>) -> Result<Self, Error> {
        Self::read(b, checkpoint, |b, name, blocks| Ok((name == TABLE).then(|| b.borrow_quantised(blocks))), |_, _, _| Ok(None))
    }

    /// As [`from_checkpoint`](Self::from_checkpoint), of bytes that stay: matrices in blocks are read where they lie, and so is what is
    /// stored as f32 if the bytes are aligned to four.
    ///
    /// # Errors
    /// Those of [`from_checkpoint`](Self::from_checkpoint).
    pub fn in_place<B: ZeroCopy<Tensor = T>>(b: &mut B, checkpoint: &Checkpoint<'static>) -> Result<Self, Error> {
        Self::read(
            b,
            checkpoint,
            |b, _, blocks| Ok(Some(b.borrow_quantised(blocks))),
            |b, name, shape| Ok(checkpoint.f32_bytes(name, shape)?.and_then(|bytes| b.borrow_f32(shape, bytes))),
        )
    }

    /// `matrix` makes a tensor of a matrix in blocks, or none, and it is widened; `numbers` one of what is stored as numbers, or none, and
    /// it is copied.
    fn read<'a, B: Device<Tensor = T>>(
        b: &mut B,
        checkpoint: &Checkpoint<'a>,
        matrix: impl Fn(&mut B, &str, QuantView<'a>) -> Result<Option<T>, Error>,
        numbers: impl Fn(&mut B, &str, Shape) -> Result<Option<T>, Error>,
    ) -> Result<Self, Error> {
        let mut config = checkpoint.config().clone();
        if !checkpoint.names().any(|name| name.starts_with("flow.")) {
            config.flow_hidden = 0;
        }
        let all = shapes(&config);
        checkpoint.expect(all.iter().map(|(name, shape)| (name.as_str(), *shape)))?;
        let mut host = Vec::new();
        let params = Params::new(&config, &mut |name, shape| {
            let kept = match checkpoint.blocks(name, shape)? {
                Some(blocks) => matrix(b, name, blocks)?,
                None => numbers(b, name, shape)?,
            };
            kept.map_or_else(|| leaf(b, shape, Precision::Compute, &mut host, |out| checkpoint.read(name, shape, out)), Ok)
        })?;
        Ok(Self { config, params })
    }
}

/// Allocates weights and fills each leaf through `fill`, which gets its name, shape and a host buffer of zeros. Weights to
/// be trained want [`Precision::Master`].
///
/// # Errors
/// `fill`'s own; [`Error::Device`] where the device is out of memory.
pub fn params<B: Device>(
    b: &mut B,
    c: &Config,
    precision: Precision,
    mut fill: impl FnMut(&str, Shape, &mut [f32]) -> Result<(), Error>,
) -> Result<Params<B::Tensor>, Error> {
    let mut host = Vec::new();
    Params::new(c, &mut |name, shape| leaf(b, shape, precision, &mut host, |out| fill(name, shape, out)))
}

/// A tensor that `fill` fills, through `host`.
fn leaf<B: Device>(
    b: &mut B,
    shape: Shape,
    precision: Precision,
    host: &mut Vec<f32>,
    fill: impl FnOnce(&mut [f32]) -> Result<(), Error>,
) -> Result<B::Tensor, Error> {
    host.clear();
    host.resize(shape.count(), 0.0);
    fill(host)?;
    let mut leaf = b.alloc(shape, precision).map_err(Error::device)?;
    b.upload(host, &mut leaf).map_err(Error::device)?;
    Ok(leaf)
}

/// A parameter tree of zeros: gradients, moments.
pub fn zeros<B: Device>(b: &mut B, c: &Config) -> Result<Params<B::Tensor>, B::Error> {
    Params::new(c, &mut |_, shape| b.alloc(shape, Precision::Full))
}
