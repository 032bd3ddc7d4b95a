//! The suite on libtorch: every kernel, the whole model, and a training step, against the processor in f64 and against the
//! reference's golden vectors. The processor is the one device that every libtorch has; `HH_TCH=cuda` runs it elsewhere.

use crate::{
    agreement,
    backends::{self, on_backend},
    causality, cuts, golden, lengths, optimiser, resume, sums,
};
use hh_cpu::{Cpu, Threads};
use hh_tch::{Compute, DeviceKind, Tch};
use hh_tests::{
    compare::{BF16, F32, F64},
    golden::names,
    model::kinds,
};

fn tch(compute: Compute) -> Tch {
    let place = std::env::var("HH_TCH").map_or(DeviceKind::Cpu, |name| name.parse().expect("HH_TCH names a device"));
    Tch::new(place, compute).expect("that device")
}

mod kernels_in_f64 {
    use super::*;
    hh_tests::for_each_kernel!(on_backend, (tch(Compute::F64), F64));
}

mod kernels_in_f32 {
    use super::*;
    hh_tests::for_each_kernel!(on_backend, (tch(Compute::F32), F32));
}

mod kernels_in_bf16 {
    use super::*;
    hh_tests::for_each_kernel!(on_backend, (tch(Compute::Bf16), BF16));
}

#[test]
fn autograd_finds_the_gradients_of_the_reference() {
    for name in names() {
        golden::check(tch(Compute::F64), &name, F64.model).unwrap_or_else(|e| panic!("{name}, f64: {e}"));
        golden::check(tch(Compute::F32), &name, F32.model).unwrap_or_else(|e| panic!("{name}, f32: {e}"));
    }
}

#[test]
fn it_trains_as_the_processor_does_with_the_same_dropout() {
    for (name, c) in kinds().into_iter().chain([("wide", agreement::wide())]) {
        let h = agreement::noisy(&c);
        let exact = agreement::train(Cpu::<f64>::new(Threads::one()), &c, h.clone(), 17);
        for (compute, bound) in [(Compute::F64, 1e-7), (Compute::F32, 2e-3)] {
            let found = agreement::train(tch(compute), &c, h.clone(), 17);
            agreement::compare(found, &exact, bound).unwrap_or_else(|e| panic!("{name}, {compute:?}: {e}"));
        }
    }
}

#[test]
fn it_trains_in_bf16_with_master_weights_in_f32() {
    backends::trains_in_bf16(|| tch(Compute::Bf16));
}

#[test]
fn its_optimiser_is_pytorchs() {
    optimiser::check(tch(Compute::F64), 1e-6).unwrap();
    optimiser::check_muon(tch(Compute::F64), 1e-6).unwrap();
}

#[test]
fn gradients_agree_at_awkward_lengths() {
    for time in lengths::LENGTHS {
        for (name, c) in kinds() {
            lengths::agrees(tch(Compute::F64), &c, time, 1e-8).unwrap_or_else(|e| panic!("{name}, {time} positions: {e}"));
        }
    }
}

#[test]
fn a_text_cut_anywhere_is_the_whole_text() {
    for (name, c) in kinds() {
        for context in [64, 3] {
            let make = || tch(Compute::F64);
            cuts::check(make, make, &c, context, &[0, 5, 13], 1e-11).unwrap_or_else(|e| panic!("{name}, context {context}: {e}"));
        }
    }
}

#[test]
fn a_later_token_changes_no_earlier_hidden_state() {
    causality::reaches_back(tch(Compute::F64), &kinds(), 24, 1e-12);
}

#[test]
fn a_run_that_resumes_is_the_run_that_never_stopped() {
    for (name, c) in kinds() {
        resume::check(|| tch(Compute::F32), name, &c);
    }
}

#[test]
fn its_coins_are_the_processors() {
    backends::draws_the_processors_masks(|| tch(Compute::F32));
}

#[test]
fn micro_batches_add_up_and_ranks_have_the_bits_of_one() {
    sums::check(tch(Compute::F32), F32.model).unwrap();
    sums::together(|| tch(Compute::F32), 2, hh_core::train::Optimizer::AdamW);
}
