//! Estimate of the device memory of a run, made before it starts.

use super::Settings;
use crate::costs::{MemoryMeter, Numbers};
use anyhow::{Result, bail};
use hh_core::backend::Backward;
use hh_core::backend::Precision;
use hh_core::config::Config;
use hh_core::model;
use hh_core::train::{HyperParams, LanguageWorkspace, Rank, Trainer, partial_sums, second_moments};
use hh_core::weights;
use std::fmt;

/// Bytes of device memory by purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryEstimate {
    /// The weights, and their compute copies.
    pub weights: usize,
    /// Gradients, moments, moving average.
    pub optimiser: usize,
    /// Activations and gradients of a micro-batch.
    pub activations: usize,
    /// Scratch memory of the kernels, if known.
    pub scratch: Option<usize>,
}

impl MemoryEstimate {
    /// The estimate for training a language model on a device with these element sizes, as this rank, without scratch.
    pub fn of(c: &Config, t: &Settings, rank: Rank, numbers: Numbers) -> Self {
        let mut meter = MemoryMeter::new(numbers);
        let Ok(_) = model::Params::new(c, &mut |_, shape| meter.take(shape, Precision::Master));
        let weights = meter.settle();
        let hyper = HyperParams { rank, ..t.hyper() };
        for _ in 0..3 + partial_sums(hyper.share().len()) {
            let Ok(_) = model::zeros(&mut meter, c);
        }
        let Ok(_) = second_moments(&mut meter, c, &hyper);
        let optimiser = meter.settle();
        let Ok(_) = LanguageWorkspace::new(&mut meter, c, &hyper, t.batch, t.context);
        Self { weights, optimiser, activations: meter.settle(), scratch: None }
    }

    /// Adds the scratch memory, measured by a step on a `backend` that counts allocations without computing; `held` returns its
    /// total bytes.
    ///
    /// # Errors
    /// A model that the backend cannot run.
    pub fn with_scratch<B: Backward>(self, mut backend: B, c: &Config, t: &Settings, held: impl Fn(&B) -> usize) -> Result<Self> {
        let start = weights::params(&mut backend, c, Precision::Master, |_, _, _| Ok(()))?;
        let mut trainer = Trainer::new(backend, c.clone(), t.hyper(), start, t.batch, t.context)?;
        let ids = vec![0; t.batch * t.context];
        trainer.accumulate(&ids, &ids)?;
        trainer.apply()?;
        trainer.evaluate(false, &ids, &ids)?;
        let scratch = held(&trainer.backend).saturating_sub(self.total());
        Ok(Self { scratch: Some(scratch), ..self })
    }

    /// Total bytes.
    pub fn total(&self) -> usize {
        self.weights + self.optimiser + self.activations + self.scratch.unwrap_or(0)
    }
}

impl fmt::Display for MemoryEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: weights {}, ", size(self.total()), size(self.weights))?;
        write!(f, "gradients, moments and average {}, activations {}", size(self.optimiser), size(self.activations))?;
        self.scratch.map_or(Ok(()), |scratch| write!(f, ", scratch {}", size(scratch)))
    }
}

/// Bytes in MiB or GiB.
fn size(bytes: usize) -> String {
    let mib = bytes as f64 / (1u64 << 20) as f64;
    if mib < 1024.0 { format!("{mib:.1} MiB") } else { format!("{:.2} GiB", mib / 1024.0) }
}

/// Rejects a run that needs more memory than is `free` on the device `name`, and suggests settings that fit; `estimate` is the
/// need of given settings.
///
/// # Errors
/// Too little free memory.
pub(crate) fn check(name: &str, free: usize, t: &Settings, estimate: impl Fn(&Settings) -> Result<MemoryEstimate>) -> Result<()> {
    let needed = estimate(t)?;
    if needed.total() <= free {
        return Ok(());
    }
    let mut suggestions = Vec::new();
    let recomputing = Settings { recompute: true, ..t.clone() };
    if !t.recompute && estimate(&recomputing)?.total() <= free {
        suggestions.push(format!("--recompute ({})", size(estimate(&recomputing)?.total())));
    }
    let mut smaller = Settings { batch: t.batch / 2, ..t.clone() };
    while smaller.batch > 0 {
        let total = estimate(&smaller)?.total();
        if total <= free {
            suggestions.push(format!(
                "--batch {} --accumulate {} ({})",
                smaller.batch,
                t.accumulate * t.batch.div_ceil(smaller.batch),
                size(total)
            ));
            break;
        }
        smaller.batch /= 2;
    }
    if suggestions.is_empty() {
        suggestions.push("a shorter --context or a smaller model".to_owned());
    }
    bail!("training needs {needed}; {name} has {} free: try {}", size(free), suggestions.join(", or "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Optimizer, RecipeFile};
    use hh_core::presets::preset;

    fn settings() -> (Config, Settings) {
        let recipe = RecipeFile::default().complete(65).expect("defaults");
        (preset("char-0.8m").expect("a preset"), Settings { batch: 12, context: 64, ..recipe.train })
    }

    #[test]
    fn a_run_that_does_not_fit_is_rejected_with_suggestions() {
        let (c, t) = settings();
        let estimate = |t: &Settings| Ok(MemoryEstimate::of(&c, t, Rank::default(), Numbers::SINGLE));
        let of = |change: fn(&mut Settings)| {
            let mut t = t.clone();
            change(&mut t);
            estimate(&t).unwrap().total()
        };
        let [whole, sparing, half] = [of(|_| ()), of(|t| t.recompute = true), of(|t| t.batch = 6)];
        assert!(sparing < whole && half < whole, "{whole} {sparing} {half}");
        check("a card", whole, &t, estimate).unwrap();
        let said = check("a card", whole - 1, &t, estimate).unwrap_err().to_string();
        for part in ["a card", "free", "--recompute", "--batch 6 --accumulate 2", "activations", "MiB"] {
            assert!(said.contains(part), "{said}");
        }
        let said = check("a card", half.min(sparing) - 1, &t, estimate).unwrap_err().to_string();
        assert!(said.contains("--batch 3 --accumulate 4") || said.contains("--recompute"), "{said}");
        assert!(check("a card", 1, &t, estimate).unwrap_err().to_string().contains("smaller model"));
    }

    #[test]
    fn muon_needs_no_second_moment_of_the_matrices_of_blocks() {
        let (c, t) = settings();
        let of = |optimizer| MemoryEstimate::of(&c, &Settings { optimizer, ..t.clone() }, Rank::default(), Numbers::SINGLE).optimiser;
        let matrices = ["in_proj.weight", "out_proj.weight", "ffn.in.weight", "ffn.out.weight"];
        let of_matrix = |(name, shape): &(String, hh_core::shape::Shape)| {
            if matrices.iter().any(|matrix| name.ends_with(matrix)) { 4 * (shape.count() - 1) } else { 0 }
        };
        let saved: usize = model::shapes(&c).iter().map(of_matrix).sum();
        assert!(saved > 0);
        assert_eq!(of(Optimizer::Adamw) - of(Optimizer::Muon), saved);
    }

    #[test]
    fn bf16_halves_activations_and_adds_copies_of_matrices_only() {
        let (c, t) = settings();
        let [single, half] = [Numbers::SINGLE, Numbers::HALF].map(|numbers| MemoryEstimate::of(&c, &t, Rank::default(), numbers));
        assert_eq!(half.optimiser, single.optimiser);
        assert!(2 * half.weights < 4 * single.weights && half.weights > single.weights);
        assert!(half.activations < single.activations && 2 * half.activations > single.activations);
        assert_eq!(MemoryEstimate { scratch: Some(7), ..single }.total(), single.total() + 7);
    }
}
