//! Timing of queued work.

use hh_core::{
    backend::{Device, Precision},
    shape::Shape,
};
use hh_cuda::{Cuda, DeviceError};
use std::time::Instant;

/// Seconds per run of `work`: the minimum of three rounds, each of at least `min_seconds`, so that the synchronisation at the
/// end of a round is negligible.
///
/// # Errors
/// The first error of the device.
pub(crate) fn time(b: &mut Cuda, min_seconds: f64, mut work: impl FnMut(&mut Cuda)) -> Result<f64, DeviceError> {
    let mut probe = b.alloc(Shape::vector(1), Precision::Full)?;
    rounds(min_seconds, |runs| {
        (0..runs).for_each(|_| work(b));
        b.fill(1.0, &mut probe);
        b.download(&probe, &mut [0.0])
    })
}

/// As [`time`], for `work` that receives the number of runs and synchronises at the end.
///
/// # Errors
/// Errors of `work`.
pub(crate) fn rounds<E>(min_seconds: f64, mut work: impl FnMut(u32) -> Result<(), E>) -> Result<f64, E> {
    let mut round = |runs: u32| -> Result<f64, E> {
        let began = Instant::now();
        work(runs)?;
        Ok(began.elapsed().as_secs_f64() / f64::from(runs))
    };
    round(1)?;
    let least = if min_seconds > 0.0 { 3.0 } else { 1.0 };
    let runs = (min_seconds / round(least as u32)?).clamp(least, 10_000.0) as u32;
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        best = best.min(round(runs)?);
    }
    Ok(best)
}
