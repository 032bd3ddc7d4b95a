//! Matrices in blocks, each of them two tensors of a file: see [`quant`](crate::quant).

use super::Archive;
use crate::{
    error::Error,
    half::bf16_to_f32,
    quant::{BLOCK, Format, QuantView},
    shape::Shape,
};
use alloc::format;
use alloc::string::String;
use safetensors::Dtype;

/// The tensors that a matrix in blocks is stored as: name, type, shape.
pub(super) fn entries(format: Format, name: &str, shape: Shape) -> [(String, Dtype, Shape); 2] {
    let blocks = shape.width().div_ceil(BLOCK);
    let codes = match format {
        Format::Q8 => Dtype::I8,
        Format::Q4 => Dtype::U8,
    };
    [
        (format!("{name}.{}", format.name()), codes, Shape::matrix(shape.rows(), blocks * format.block_bytes())),
        (format!("{name}.scale"), Dtype::BF16, Shape::matrix(shape.rows(), blocks)),
    ]
}

/// The matrix of this name; `None` if the file does not have it in blocks.
pub(super) fn read<'a>(archive: &Archive<'a>, name: &str, shape: Shape) -> Result<Option<QuantView<'a>>, Error> {
    let there = |format: &Format| archive.has(&entries(*format, name, shape)[0].0);
    let Some(format) = [Format::Q8, Format::Q4].into_iter().find(there) else {
        return Ok(None);
    };
    let [codes, scales] = entries(format, name, shape).map(|(name, dtype, shape)| archive.bytes(&name, dtype, shape));
    let (codes, scales) = (codes?, scales?.as_chunks::<2>().0);
    if let Some(i) = scales.iter().position(|s| !bf16_to_f32(u16::from_le_bytes(*s)).is_finite()) {
        return Err(Error::Checkpoint(
            format!("block {i} of {name} has a scale that is not finite: the weights are broken; export them again").into(),
        ));
    }
    Ok(QuantView::new(format, shape, codes, scales))
}
