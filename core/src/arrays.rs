//! What goes in and out as slices, as [`ndarray`] arrays that know their shape. Feature `ndarray`.
//!
//! ```
//! use hh_core::checkpoint::Archive;
//! use ndarray::Axis;
//!
//! fn norms(file: &[u8]) -> Result<ndarray::ArrayD<f32>, hh_core::error::Error> {
//!     let table = Archive::parse(file)?.array("embed.weight")?; // [V, E]
//!     Ok(table.map_axis(Axis(1), |row| row.dot(&row).sqrt()))
//! }
//! ```

use crate::{
    backend::Forward,
    checkpoint::{Archive, Checkpoint, Dtype, Metadata, write},
    config::Config,
    embed::Pooler,
    error::Error,
    model::Model,
    session::Session,
    shape::Shape,
};
use alloc::{format, vec, vec::Vec};
use core::ops::Deref;
use ndarray::{Array3, ArrayD, ArrayView2, ArrayView3, ArrayViewD, Axis, Slice};

impl<B: Forward, M: Deref<Target = Model<B::Tensor>>> Session<B, M> {
    /// [`logits`](Self::logits) as an array `[batch, V]`; copies nothing.
    pub fn logits_array(&self) -> ArrayView2<'_, f32> {
        let (batch, vocab) = (self.options().batch, self.config().vocab_size);
        ArrayView2::from_shape((batch, vocab), self.logits()).expect("logits fill [batch, V]")
    }

    /// Runs `tokens`, `[batch, n]` row by row, and returns the normalised hidden states of all positions, `[batch, n, D]`.
    ///
    /// # Errors
    /// As [`prefill`](Self::prefill).
    pub fn hidden_array(&mut self, tokens: &[u32]) -> Result<Array3<f32>, Error> {
        let (batch, width) = (self.options().batch, self.config().width);
        let mut all = Array3::zeros((batch, tokens.len() / batch, width));
        let mut done = 0;
        self.hidden(tokens, |chunk| {
            let n = chunk.len() / (batch * width);
            let chunk = ArrayView3::from_shape((batch, n, width), chunk).expect("a chunk fills [batch, n, D]");
            all.slice_axis_mut(Axis(1), Slice::from(done..done + n)).assign(&chunk);
            done += n;
        })?;
        Ok(all)
    }
}

impl Pooler {
    /// [`push`](Self::push) for hidden states `[n, D]` in any layout, as a row of [`Session::hidden_array`] is.
    ///
    /// # Panics
    /// Where the columns are not as many as the width.
    pub fn push_array(&mut self, hidden: ArrayView2<'_, f32>) {
        for row in hidden.axis_iter(Axis(0)) {
            match row.as_slice() {
                Some(row) => self.push(row),
                None => self.push(&row.to_vec()),
            }
        }
    }
}

impl Archive<'_> {
    /// A tensor as an array of its own shape, widened to f32.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] as [`tensor`](Self::tensor), and for a value that is not finite.
    pub fn array(&self, name: &str) -> Result<ArrayD<f32>, Error> {
        let shape = self.tensor(name)?.shape;
        let mut values = vec![0.0; shape.count()];
        self.read(name, shape, &mut values)?;
        Ok(ArrayD::from_shape_vec(shape.dims(), values).expect("a tensor has as many values as its shape says"))
    }
}

impl Checkpoint<'_> {
    /// A tensor as an array of its own shape, widened to f32; see [`Archive::array`].
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is missing, of a type that this program does not know, or has a value that is not finite.
    pub fn array(&self, name: &str) -> Result<ArrayD<f32>, Error> {
        self.archive().array(name)
    }
}

/// [`write`](fn@write) for arrays of one to three extents in any layout: a whole checkpoint in memory.
///
/// # Errors
/// [`Error::Checkpoint`] for an array of another rank, and those of [`write`](fn@write).
pub fn write_arrays<'n>(
    config: &Config,
    notes: &Metadata,
    tensors: impl IntoIterator<Item = (&'n str, ArrayViewD<'n, f32>)>,
    dtype: Dtype,
) -> Result<Vec<u8>, Error> {
    let arrays: Vec<_> = tensors.into_iter().collect();
    // Copies only what does not lie row by row already.
    let rows: Vec<_> = arrays.iter().map(|(_, array)| array.as_standard_layout()).collect();
    let shaped = arrays.iter().zip(&rows).map(|((name, array), rows)| {
        let shape = Shape::from_dims(array.shape()).ok_or_else(|| {
            Error::Checkpoint(format!("array {name} has shape {:?}; a tensor has one to three extents", array.shape()).into())
        })?;
        Ok((*name, shape, rows.as_slice().expect("row by row")))
    });
    write(config, notes, shaped.collect::<Result<Vec<_>, Error>>()?, dtype)
}
