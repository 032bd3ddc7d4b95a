//! From the hidden states of a text to one vector.

use crate::error::{Error, InputError};
use alloc::{vec, vec::Vec};
use serde::{Deserialize, Serialize};

/// How the hidden states of a text become one vector.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over the text's own positions.
    #[default]
    Mean,
    /// The last position.
    Last,
    /// The mean with weights 1, 2, 3, … (SGPT, Muennighoff 2022): in a causal model later positions know more.
    Weighted,
}

/// What position `t` of a text of `n` tokens counts in its vector; the positions of a text count 1 together. [`Pooler`] weighs them
/// likewise, of texts whose length is not known before they end.
pub(crate) fn weight(pooling: Pooling, t: usize, n: usize) -> f32 {
    match pooling {
        Pooling::Mean => 1.0 / n as f32,
        Pooling::Last => (t + 1 == n) as u8 as f32,
        Pooling::Weighted => 2.0 * (t + 1) as f32 / (n as f32 * (n + 1) as f32),
    }
}

/// Collects the hidden states of one text on the host, in chunks of any length: for a text that comes piece by piece, as through
/// a [`Session`](crate::session::Session).
#[derive(Clone, Debug)]
pub struct Pooler {
    pooling: Pooling,
    sum: Vec<f32>,
    weight: f32,
    seen: u32,
}

impl Pooler {
    /// For hidden states of `width` numbers.
    pub fn new(pooling: Pooling, width: usize) -> Self {
        Self { pooling, sum: vec![0.0; width], weight: 0.0, seen: 0 }
    }

    /// Takes the next positions, `[n, width]`.
    ///
    /// # Panics
    /// Where `hidden` is no whole number of rows.
    pub fn push(&mut self, hidden: &[f32]) {
        let width = self.sum.len();
        assert!(hidden.len().is_multiple_of(width), "{} numbers in rows of {width}", hidden.len());
        for row in hidden.chunks(width) {
            self.seen += 1;
            let weight = match self.pooling {
                Pooling::Mean => 1.0,
                Pooling::Weighted => self.seen as f32,
                Pooling::Last => {
                    self.sum.fill(0.0);
                    self.weight = 0.0;
                    1.0
                }
            };
            self.weight += weight;
            for (s, x) in self.sum.iter_mut().zip(row) {
                *s += weight * x;
            }
        }
    }

    /// Writes the pooled vector, and is ready for the next text.
    ///
    /// # Errors
    /// [`Error::Input`] where nothing was pushed.
    ///
    /// # Panics
    /// Where `vector` has not as many numbers as a hidden state.
    pub fn take(&mut self, vector: &mut [f32]) -> Result<(), Error> {
        if self.seen == 0 {
            return Err(InputError::EmptyText.into());
        }
        assert_eq!(vector.len(), self.sum.len(), "room for a pooled vector");
        for (v, s) in vector.iter_mut().zip(&mut self.sum) {
            *v = *s / self.weight;
            *s = 0.0;
        }
        (self.weight, self.seen) = (0.0, 0);
        Ok(())
    }

    /// The first `dim` numbers of the pooled vector, of length 1.
    ///
    /// # Errors
    /// [`Error::Input`] where nothing was pushed, or `dim` is 0 or more than the width.
    pub fn finish(mut self, dim: usize) -> Result<Vec<f32>, Error> {
        let mut vector = vec![0.0; self.sum.len()];
        self.take(&mut vector)?;
        check_dim(dim, vector.len())?;
        vector.truncate(dim);
        normalise(&mut vector);
        Ok(vector)
    }
}

/// Says what is wrong with `dim` as the number of numbers to keep of `whole`.
pub(super) fn check_dim(dim: usize, whole: usize) -> Result<(), Error> {
    if dim == 0 || dim > whole {
        return Err(InputError::DimOutOfRange { dim, whole }.into());
    }
    Ok(())
}

/// Makes a vector one of length 1; zeros stay zeros.
pub fn normalise(vector: &mut [f32]) {
    let norm = libm::sqrtf(vector.iter().map(|x| x * x).sum::<f32>()).max(f32::MIN_POSITIVE);
    vector.iter_mut().for_each(|x| *x /= norm);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_the_pooler_and_add_up_to_one() {
        for pooling in [Pooling::Mean, Pooling::Last, Pooling::Weighted] {
            for n in [1, 2, 7, 40] {
                let sum: f32 = (0..n).map(|t| weight(pooling, t, n)).sum();
                assert!((sum - 1.0).abs() < 1e-5, "{pooling:?} {n}");
                for t in 0..n {
                    let mut pooler = Pooler::new(pooling, 1);
                    (0..n).for_each(|other| pooler.push(&[(other == t) as u8 as f32]));
                    let mut found = [0.0];
                    pooler.take(&mut found).unwrap();
                    assert!((found[0] - weight(pooling, t, n)).abs() < 1e-6, "{pooling:?} {t} of {n}");
                }
            }
        }
    }

    #[test]
    fn chunks_pool_to_what_the_whole_pools_to() {
        let rows: Vec<f32> = (0..30).map(|i| ((i * 7) % 11) as f32 - 4.0).collect();
        for pooling in [Pooling::Mean, Pooling::Last, Pooling::Weighted] {
            let mut whole = Pooler::new(pooling, 3);
            whole.push(&rows);
            let mut cut = Pooler::new(pooling, 3);
            cut.push(&rows[..12]);
            cut.push(&rows[12..]);
            let whole = whole.finish(3).unwrap();
            assert_eq!(whole, cut.finish(3).unwrap());
            assert!((whole.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn each_pooling_weighs_as_its_name_says() {
        let vector = |pooling| {
            let mut p = Pooler::new(pooling, 2);
            p.push(&[1.0, 0.0, 0.0, 1.0]);
            p.finish(2).unwrap()
        };
        let [mean, last, weighted] = [Pooling::Mean, Pooling::Last, Pooling::Weighted].map(vector);
        assert!((mean[0] - mean[1]).abs() < 1e-6 && last == [0.0, 1.0] && (weighted[1] / weighted[0] - 2.0).abs() < 1e-6);
        assert!(Pooler::new(Pooling::Mean, 2).finish(2).is_err());
    }
}
