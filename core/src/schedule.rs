//! What changes from one optimiser step to the next: the learning rate, and the rate of the averaged weights.

use crate::error::{ConfigError, Error};
use alloc::format;
use core::f64::consts::PI;

/// Linear warm-up, then half a cosine down to a floor.
///
/// ```text
/// step < warmup:   peak · (step + 1) / (warmup + 1)
/// step < steps:    min + (peak − min) · (1 + cos(π (step − warmup) / (steps − warmup))) / 2
/// otherwise:       min
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Schedule {
    /// Largest learning rate, reached at step `warmup`.
    pub peak_lr: f32,
    /// Learning rate at the end.
    pub min_lr: f32,
    /// Steps of warm-up.
    pub warmup: u64,
    /// Steps of the whole run.
    pub steps: u64,
}

impl Schedule {
    /// Says what is wrong with a schedule.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, its value, and what it must be.
    pub fn validate(&self) -> Result<(), Error> {
        let Self { peak_lr, min_lr, warmup, steps } = *self;
        if !(peak_lr > 0.0 && peak_lr.is_finite()) {
            return Err(ConfigError::field("the learning rate", peak_lr, "above 0").into());
        }
        if !(0.0..=peak_lr).contains(&min_lr) {
            return Err(Error::Config(
                format!("the smallest learning rate is {min_lr}; it must lie between 0 and the largest one, {peak_lr}").into(),
            ));
        }
        if steps == 0 {
            return Err(ConfigError::field("the number of steps", 0, "at least 1").into());
        }
        if warmup > steps {
            return Err(Error::Config(
                format!("the warm-up takes {warmup} steps of a run of {steps}; make it shorter than the run").into(),
            ));
        }
        Ok(())
    }

    /// Learning rate of a step; steps count from 0.
    pub fn lr(&self, step: u64) -> f32 {
        let (peak, min) = (f64::from(self.peak_lr), f64::from(self.min_lr));
        if step < self.warmup {
            return (peak * (step + 1) as f64 / (self.warmup + 1) as f64) as f32;
        }
        if step >= self.steps {
            return self.min_lr;
        }
        let progress = (step - self.warmup) as f64 / (self.steps - self.warmup) as f64;
        (min + (peak - min) * (1.0 + libm::cos(PI * progress)) / 2.0) as f32
    }
}

/// Share of the averaged weights that a step keeps: `min(rate, (1 + step) / (10 + step))`.
///
/// The ramp lets an average forget the initial weights soon, instead of carrying them for `1 / (1 − rate)` steps.
pub fn ema_rate(rate: f32, step: u64) -> f32 {
    rate.min(((1.0 + step as f64) / (10.0 + step as f64)) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const RUN: Schedule = Schedule { peak_lr: 1e-3, min_lr: 1e-4, warmup: 100, steps: 2000 };

    #[test]
    fn the_rate_rises_to_the_peak_and_falls_to_the_floor() {
        assert!(RUN.validate().is_ok());
        assert!((1..=100).all(|s| RUN.lr(s) > RUN.lr(s - 1)) && (101..=2000).all(|s| RUN.lr(s) < RUN.lr(s - 1)));
        assert_eq!((RUN.lr(100), RUN.lr(2000), RUN.lr(u64::MAX)), (1e-3, 1e-4, 1e-4));
        assert!((RUN.lr(0) - 1e-3 / 101.0).abs() < 1e-9 && RUN.lr(0) > 0.0);
        assert!((RUN.lr(1050) - 5.5e-4).abs() < 1e-8, "halfway down is the mean of both ends: {}", RUN.lr(1050));
    }

    #[test]
    fn a_run_may_be_all_warm_up_or_none() {
        let all = Schedule { warmup: 10, steps: 10, ..RUN };
        assert!(all.validate().is_ok() && all.lr(9) < 1e-3 && all.lr(10) == 1e-4);
        let none = Schedule { warmup: 0, ..RUN };
        assert!(none.validate().is_ok() && none.lr(0) == 1e-3);
    }

    #[test]
    fn impossible_schedules_are_named() {
        for (bad, word) in [
            (Schedule { peak_lr: 0.0, ..RUN }, "learning rate is 0"),
            (Schedule { peak_lr: f32::NAN, ..RUN }, "learning rate is NaN"),
            (Schedule { min_lr: 2e-3, ..RUN }, "smallest"),
            (Schedule { min_lr: f32::NAN, ..RUN }, "smallest"),
            (Schedule { min_lr: -1.0, ..RUN }, "smallest"),
            (Schedule { steps: 0, warmup: 0, ..RUN }, "steps is 0"),
            (Schedule { warmup: 2001, ..RUN }, "2001 steps of a run of 2000"),
        ] {
            assert!(bad.validate().unwrap_err().to_string().contains(word), "{bad:?}");
        }
    }

    #[test]
    fn the_average_starts_short_and_ends_at_its_rate() {
        assert_eq!((ema_rate(0.999, 0), ema_rate(0.999, 90), ema_rate(0.999, 100_000)), (0.1, 0.91, 0.999));
        assert!((1..20_000).all(|s| ema_rate(0.999, s) >= ema_rate(0.999, s - 1)));
    }
}
