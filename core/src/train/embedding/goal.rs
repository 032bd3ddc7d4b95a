//! What texts' vectors are trained to be.

use crate::{
    config::Config,
    embed::Pooling,
    error::{ConfigError, Error},
};
use alloc::{format, string::String, vec::Vec};

/// What is minimised.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Goal {
    /// InfoNCE with the other texts of the batch as negatives (van den Oord et al. 2018; Gao et al. 2021): the cross-entropy of
    /// picking a text's own partner among all candidates, by cosine over temperature.
    Contrast {
        /// τ
        temperature: f32,
        /// Candidates for each text: 1 is its partner alone, each further one a text that is known to be no partner.
        candidates: usize,
    },
    /// To be a teacher's vectors: `mean (1 − cos(v, teacher)) + pairs · mean (cos(vᵢ, vⱼ) − cos(teacherᵢ, teacherⱼ))²`, the second
    /// over all pairs of the batch (Park et al. 2019).
    Distill {
        /// Weight of the similarities.
        pairs: f32,
    },
}

/// How vectors are trained.
#[derive(Clone, PartialEq, Debug)]
pub struct Options {
    /// What is minimised.
    pub goal: Goal,
    /// How hidden states become one vector.
    pub pooling: Pooling,
    /// Shorter vectors that should be good as well: the first numbers of the whole one (Kusupati et al. 2022). All lengths
    /// weigh the same; of a teacher, they are to have the similarities alone.
    pub dims: Vec<usize>,
    /// Texts of a micro-batch, partners not counted: all of them are compared with each other.
    pub texts: usize,
    /// Tokens of a text; the rest of a longer one is not seen.
    pub time: usize,
    /// Tokens that go through the model at once. A micro-batch of more goes through in parts, and once more for the gradient (Gao
    /// et al. 2021b), so that memory is bounded by this and not by the batch.
    pub at_once: usize,
}

impl Options {
    /// Says what cannot be.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first invalid value, and what it must be.
    pub fn validate(&self, c: &Config) -> Result<(), Error> {
        let fail = |what: String| Err(ConfigError::Contradiction(what).into());
        match self.goal {
            Goal::Contrast { temperature, .. } if !(temperature > 0.0 && temperature < 1e3) => {
                return fail(format!("the temperature is {temperature}; it must lie between 0 and 1000"));
            }
            Goal::Contrast { candidates, .. } if !(1..=64).contains(&candidates) => {
                return fail(format!("each text has {candidates} candidates; it must be between 1 and 64"));
            }
            Goal::Distill { pairs } if !(0.0..1e6).contains(&pairs) => {
                return Err(ConfigError::field("the weight of the pairs", pairs, "at least 0 and below 1e6").into());
            }
            _ => {}
        }
        let whole = c.vector_dim();
        if let Some(dim) = self.dims.iter().find(|dim| !(1..=whole).contains(dim)) {
            return fail(format!("a vector of {dim} numbers was asked of a model whose vectors have {whole}; give 1 to {whole}"));
        }
        if self.texts > 1 << 16 {
            return fail(format!("a batch of {} texts is too many; give at most {}", self.texts, 1 << 16));
        }
        if self.texts < 2 || self.time == 0 {
            return fail(format!("a batch of {} texts of {} tokens teaches nothing; give two texts at least", self.texts, self.time));
        }
        Ok(())
    }

    /// Candidates for each text; 0 where there is a teacher instead.
    pub(super) fn candidates(&self) -> usize {
        match self.goal {
            Goal::Contrast { candidates, .. } => candidates,
            Goal::Distill { .. } => 0,
        }
    }

    /// All lengths of a vector, the whole one first.
    pub(super) fn lengths(&self, c: &Config) -> Vec<usize> {
        let whole = c.vector_dim();
        let mut all: Vec<usize> = core::iter::once(whole).chain(self.dims.iter().copied().filter(|&dim| dim < whole)).collect();
        all.dedup();
        all
    }
}
