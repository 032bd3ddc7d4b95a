//! What a step or an evaluation reports.

/// Mean losses of one or several steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// Negative log-likelihood, in nats per scored target.
    pub nll: f64,
    /// logsumexp²
    pub z: f64,
    /// logsumexp minus the mean logit
    pub smooth: f64,
    /// Rectified flow.
    pub flow: f64,
    /// 1 − cosine to the teacher's vector.
    pub cosine: f64,
    /// Squared difference of the texts' similarities to the teacher's.
    pub pairs: f64,
    /// Targets or texts that were scored.
    pub count: u64,
}

impl Losses {
    /// From rows `nll, z, smooth`; rows that are not scored are all zeros.
    pub(super) fn of_rows(rows: &[f32]) -> Self {
        let (mut sum, mut count) = ([0.0f64; 3], 0u64);
        for row in rows.chunks_exact(3) {
            count += (row != [0.0; 3]) as u64;
            for (s, &x) in sum.iter_mut().zip(row) {
                *s += x as f64;
            }
        }
        let [nll, z, smooth] = sum.map(|s| s / count.max(1) as f64);
        Self { nll, z, smooth, count, ..Self::default() }
    }

    /// Adds the losses of further targets; the mean stays a mean over targets.
    pub fn add(&mut self, other: &Losses) {
        let count = self.count + other.count;
        let part = if count == 0 { 0.0 } else { other.count as f64 / count as f64 };
        for (a, b) in [
            (&mut self.nll, other.nll),
            (&mut self.z, other.z),
            (&mut self.smooth, other.smooth),
            (&mut self.flow, other.flow),
            (&mut self.cosine, other.cosine),
            (&mut self.pairs, other.pairs),
        ] {
            *a += (b - *a) * part;
        }
        self.count = count;
    }
}
