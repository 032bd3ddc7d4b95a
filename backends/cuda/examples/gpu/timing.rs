//! Time of work that is queued.

use hh_core::{
    backend::{Device, Precision},
    shape::Shape,
};
use hh_cuda::{Cuda, DeviceError};
use std::time::Instant;

/// Seconds of one run of `work`: the least of three rounds, each as long as `enough`, so that waiting at its end does not count.
///
/// # Errors
/// The device's first fault.
pub(crate) fn time(b: &mut Cuda, enough: f64, mut work: impl FnMut(&mut Cuda)) -> Result<f64, DeviceError> {
    let mut probe = b.alloc(Shape::vector(1), Precision::Full)?;
    rounds(enough, |runs| {
        (0..runs).for_each(|_| work(b));
        b.fill(1.0, &mut probe);
        b.download(&probe, &mut [0.0])
    })
}

/// The same of `work`, which is told how often to run, and waits for its end.
///
/// # Errors
/// The work's.
pub(crate) fn rounds<E>(enough: f64, mut work: impl FnMut(u32) -> Result<(), E>) -> Result<f64, E> {
    let mut round = |runs: u32| -> Result<f64, E> {
        let began = Instant::now();
        work(runs)?;
        Ok(began.elapsed().as_secs_f64() / f64::from(runs))
    };
    round(1)?;
    let least = if enough > 0.0 { 3.0 } else { 1.0 };
    let runs = (enough / round(least as u32)?).clamp(least, 10_000.0) as u32;
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        best = best.min(round(runs)?);
    }
    Ok(best)
}
