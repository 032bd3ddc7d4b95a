use super::Hash;
use crate::{backend::Device, error::Error, model::Model, shape::Shaped, tokenizer::Tokenizer};
use alloc::vec::Vec;

/// What tells the weights and the tokenizer of a model from others: a hash of configuration, weights and tokenizer. Never 0, which
/// stands for a state that does not say.
///
/// Weights count as they compute, so a quantised copy is another model, and rounded to bfloat16, so that it is the same on a device
/// that computes in that precision.
///
/// # Errors
/// [`Error::Device`] where the device fails.
pub fn identity<B: Device>(b: &mut B, model: &Model<B::Tensor>, tokenizer: &dyn Tokenizer) -> Result<u64, Error> {
    let (mut hash, mut host) = (Hash::new(), Vec::new());
    hash.bytes(model.config.to_json().as_bytes());
    hash.bytes(tokenizer.to_json().as_bytes());
    for leaf in model.params.leaves() {
        host.resize(leaf.shape().count(), 0.0);
        b.download(leaf, &mut host).map_err(Error::device)?;
        hash.numbers(&host);
    }
    Ok(hash.finish().max(1))
}
