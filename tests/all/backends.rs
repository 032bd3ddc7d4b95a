//! Tests that the backends other than the processor share: each runs them in a module of its own.

use crate::{agreement, dropout, lengths};
use hh_core::{backend::Backward, train::HyperParams};
use hh_tests::{
    compare::{BF16, distance},
    model::{Numbers, cpu, hyper, kinds},
};

/// A test for each kernel that runs its small cases on a backend.
macro_rules! on_backend {
    (($backend:expr, $tolerance:expr); $($kernel:ident $case:ident),*) => {
        $(
            #[test]
            fn $kernel() {
                hh_tests::kernels::check::<hh_tests::kernels::$case, _>($backend, $tolerance).unwrap();
            }
        )*
    };
}
pub(crate) use on_backend;

/// Training in bf16 finds the gradient, and keeps its weights in f32, on machines that `make` makes.
pub(crate) fn trains_in_bf16<B: Backward<Tensor: Numbers>>(make: impl Fn() -> B) {
    for (name, c) in kinds() {
        let whole = |gradients: Vec<(String, Vec<f64>)>| gradients.into_iter().flat_map(|(_, g)| g).collect::<Vec<_>>();
        let [found, exact] = [lengths::gradients(make(), &c, 17), lengths::gradients(cpu::<f64>(1), &c, 17)].map(whole);
        let far = distance(&found, &exact, 1e-3);
        assert!(far < BF16.model, "{name}: the gradient is off by {far:.1e}");
    }
    let c = &kinds()[0].1;
    // A step far below what bf16 can tell from the weights, beside one that f32 cannot tell from them either.
    let h = HyperParams { clip: 1.0, weight_decay: 0.0, ..hyper(c) };
    let moved = |scale: f32| {
        let mut h = h.clone();
        h.schedule.peak_lr *= scale;
        h.schedule.min_lr *= scale;
        let last = agreement::train(make(), c, h, 9);
        last[last.len() / 2..].to_vec()
    };
    let (still, step) = (moved(1e-12), moved(1e-3));
    let changed = still.iter().zip(&step).filter(|((_, a), (_, b))| a != b).count();
    assert_eq!(changed, still.len(), "every tensor moves, by ever so little");
}

/// Whether the masks of a machine that `make` makes are the processor's.
pub(crate) fn draws_the_processors_masks<B: Backward<Tensor: Numbers>>(make: impl Fn() -> B) {
    for key in [[7, 0, 1, 0], [u32::MAX, 1 << 31, 5, 0]] {
        let [there, here] = [dropout::masks(make(), 0.3, key, 4), dropout::masks(cpu::<f32>(1), 0.3, key, 4)];
        assert!(there == here, "the same mask, forward and back");
    }
}
