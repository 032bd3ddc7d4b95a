//! Time of work that is queued.

use hh_core::{
    backend::{Device, Precision},
    shape::Shape,
};
use hh_cuda::{Cuda, Fault};
use std::time::Instant;

/// Shortest time that is believed, in seconds.
const ENOUGH: f64 = 0.1;

/// Seconds of one run of `work`: the least of three rounds, each long enough that waiting at its end does not count.
///
/// # Errors
/// The device's first fault.
pub(crate) fn time(b: &mut Cuda, mut work: impl FnMut(&mut Cuda)) -> Result<f64, Fault> {
    let mut probe = b.alloc(Shape::vector(1), Precision::Full)?;
    let mut round = |b: &mut Cuda, runs: u32| -> Result<f64, Fault> {
        let began = Instant::now();
        (0..runs).for_each(|_| work(b));
        b.fill(1.0, &mut probe);
        b.download(&probe, &mut [0.0])?;
        Ok(began.elapsed().as_secs_f64() / f64::from(runs))
    };
    round(b, 1)?;
    let once = round(b, 3)?;
    let runs = (ENOUGH / once).clamp(3.0, 10_000.0) as u32;
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        best = best.min(round(b, runs)?);
    }
    Ok(best)
}
