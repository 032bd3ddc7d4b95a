//! Every kernel and its gradient, alone, on any backend against the processor in f64: awkward lengths, dirty outputs,
//! columns inside of others, with and without a state.

mod dense;
mod losses;
mod memory;
mod mixing;
mod ssm;

use hh_core::backend::Backward;
use hh_tests::{
    compare::{F32, Tolerance, all_within, distance},
    desk::{Desk, Size},
    model::{Numbers, cpu},
};

/// A kernel by name.
pub(crate) type Kernel<B> = (&'static str, fn(&mut Desk<B>, Size));

/// All of them.
pub(crate) fn all<B: Backward<Tensor: Numbers>>() -> Vec<Kernel<B>> {
    [dense::all(), ssm::all(), memory::all(), mixing::all(), losses::all()].concat()
}

/// Lengths that fill no vector, tile or chunk evenly.
const SIZES: [Size; 5] = [
    Size { batch: 1, time: 1 },
    Size { batch: 3, time: 2 },
    Size { batch: 2, time: 17 },
    Size { batch: 1, time: 65 },
    Size { batch: 2, time: 130 },
];

/// Compares all kernels on machines that `make` makes with the processor in f64.
pub(crate) fn check<B: Backward<Tensor: Numbers>>(make: impl Fn() -> B, tolerance: Tolerance) {
    let mut far = Vec::new();
    for size in SIZES {
        for ((name, kernel), (_, exact)) in all::<B>().into_iter().zip(all()) {
            let (mut desk, mut truth) = (Desk::new(make()), Desk::new(cpu::<f64>(1)));
            kernel(&mut desk, size);
            exact(&mut truth, size);
            for ((what, found), (_, wanted)) in desk.found().into_iter().zip(truth.found()) {
                assert!(wanted.iter().all(|x| x.is_finite()), "{name}: {what}");
                far.push((format!("{name}.{what} of {} × {}", size.batch, size.time), distance(&found, &wanted, 1e-2)));
            }
        }
    }
    all_within(tolerance.kernel, far).unwrap();
}

/// Compares attention and both memories with heads of one width.
#[cfg(feature = "cuda")]
pub(crate) fn heads<B: Backward<Tensor: Numbers>>(make: impl Fn() -> B, head_dim: usize, bound: f64) -> Result<(), String> {
    // Long enough for tiles that are seen whole, beside those that are not.
    let size = Size { batch: 1, time: 150 };
    let (mut desk, mut truth) = (Desk::new(make()), Desk::new(cpu::<f64>(1)));
    memory::heads(&mut desk, size, head_dim);
    memory::heads(&mut truth, size, head_dim);
    let far = desk.found().into_iter().zip(truth.found()).map(|((what, found), (_, wanted))| (what, distance(&found, &wanted, 1e-2)));
    all_within(bound, far.collect())
}

#[test]
fn every_kernel_in_f32_is_the_one_in_f64_but_for_rounding() {
    check(|| cpu::<f32>(2), F32);
}
