//! The suite on the cuda backend: every kernel, the whole model, and training, against the processor in f64 and against the
//! reference's golden vectors. The kernels run as C++ on the host, a thread of a block at a time; `HH_CUDA=0` runs them on
//! that GPU.

mod memory;
mod recording;
mod work;

use crate::{
    agreement,
    backends::{self, on_backend},
    causality, cuts, golden, lengths, optimiser, resume, sums,
};
use hh_core::{
    backend::{Device, Precision},
    config::Config,
    ops::{self, Columns, ColumnsMut},
    shape::Shape,
};
use hh_cpu::{Cpu, Threads};
use hh_cuda::{Compute, Cuda};
use hh_tests::{
    compare::{BF16, F32},
    golden::names,
    kernels::{Attend, Hebbian, Recall, check_cases},
    model::kinds,
};

fn cuda(compute: Compute) -> Cuda {
    match std::env::var("HH_CUDA") {
        Ok(ordinal) => Cuda::new(ordinal.parse().expect("HH_CUDA is the number of a GPU"), compute).expect("that GPU"),
        Err(_) => Cuda::emulated(compute),
    }
}

/// Architectures that together use every kernel; few, since the emulated device is slow.
fn few() -> Vec<(&'static str, Config)> {
    kinds().into_iter().filter(|(name, _)| ["full", "classic", "windows", "factorised", "learned positions"].contains(name)).collect()
}

mod kernels_in_f32 {
    use super::*;
    hh_tests::for_each_kernel!(on_backend, (cuda(Compute::F32), F32));
}

mod kernels_in_bf16 {
    use super::*;
    hh_tests::for_each_kernel!(on_backend, (cuda(Compute::Bf16), BF16));
}

#[test]
fn its_gradients_are_those_of_the_reference() {
    for name in names() {
        golden::check(cuda(Compute::F32), &name, F32.model).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn it_trains_as_the_processor_does_with_the_same_dropout() {
    for (name, c) in kinds().into_iter().chain([("wide", agreement::wide())]) {
        let h = agreement::noisy(&c);
        let exact = agreement::train(Cpu::<f64>::new(Threads::one()), &c, h.clone(), 17);
        let found = agreement::train(cuda(Compute::F32), &c, h, 17);
        agreement::compare(found, &exact, 2e-3).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn it_trains_in_bf16_with_master_weights_in_f32() {
    backends::trains_in_bf16(|| cuda(Compute::Bf16));
}

/// The emulated device runs threads and blocks in a different order each time.
#[test]
fn two_runs_of_one_seed_are_the_same_bits() {
    for (compute, time) in [(Compute::F32, 65), (Compute::Bf16, 33)] {
        let c = agreement::wide();
        let [one, two] = [(); 2].map(|()| agreement::train(cuda(compute), &c, agreement::noisy(&c), time));
        assert!(one == two, "{compute:?}");
    }
}

#[test]
fn its_optimiser_is_pytorchs() {
    optimiser::check(cuda(Compute::F32), F32.kernel).unwrap();
    optimiser::check_muon(cuda(Compute::F32), F32.kernel).unwrap();
}

#[test]
fn gradients_agree_at_awkward_lengths() {
    for time in [1, 33, 65] {
        for (name, c) in few() {
            lengths::agrees(cuda(Compute::F32), &c, time, 2e-3).unwrap_or_else(|e| panic!("{name}, {time} positions: {e}"));
        }
    }
}

#[test]
fn a_text_cut_anywhere_is_the_whole_text() {
    for (name, c) in few() {
        for (context, cut) in [(64, 5), (3, 9)] {
            let make = || cuda(Compute::F32);
            cuts::check(make, make, &c, context, &[cut], 1e-4).unwrap_or_else(|e| panic!("{name}, context {context}: {e}"));
        }
    }
}

#[test]
fn a_later_token_changes_no_earlier_hidden_state() {
    causality::reaches_back(cuda(Compute::F32), &kinds(), 7, 1e-12);
}

#[test]
fn a_run_that_resumes_is_the_run_that_never_stopped() {
    for (name, c) in few() {
        resume::check(|| cuda(Compute::F32), name, &c);
    }
}

#[test]
fn its_coins_are_the_processors() {
    backends::draws_the_processors_masks(|| cuda(Compute::F32));
}

/// Heads as wide as a tile goes, in tiles of each width, with rows that fill no tile.
#[test]
fn attention_and_recall_know_every_width_of_a_head() {
    for (compute, tolerance) in [(Compute::F32, F32), (Compute::Bf16, BF16)] {
        for head_dim in [8, 24, 32, 40, 64, 128] {
            check_cases(cuda(compute), tolerance, vec![Attend::with_heads(head_dim)]).unwrap();
            check_cases(cuda(compute), tolerance, vec![Recall::with_heads(head_dim)]).unwrap();
            check_cases(cuda(compute), tolerance, vec![Hebbian::with_heads(head_dim)]).unwrap();
        }
    }
}

#[test]
fn a_fault_of_a_kernel_surfaces_where_the_device_is_next_asked() {
    let mut b = cuda(Compute::F32);
    let mut tensor = |shape| b.alloc(shape, Precision::Full).expect("memory");
    let (qkv, mut y) = (tensor(Shape::cube(1, 2, 3 * 160)), tensor(Shape::cube(1, 2, 160)));
    let op = ops::Attend { qkv: Columns::all(&qkv), head_dim: 160, window: 0 };
    hh_core::backend::Forward::attend(&mut b, op, None, None, ColumnsMut::all(&mut y));
    let mut host = [0.0; 320];
    let said = b.download(&y, &mut host).expect_err("heads are too wide").to_string();
    assert!(said.contains("160") && said.contains("128"), "{said}");
    b.download(&y, &mut host).expect("it was said once");
}

#[test]
fn micro_batches_add_up_and_ranks_have_the_bits_of_one() {
    sums::check(cuda(Compute::F32), F32.model).unwrap();
    sums::together(|| cuda(Compute::F32), 2, hh_core::train::Optimizer::AdamW);
}
