//! What the program does besides training a language model: text vectors, knock-outs, pattern completion, on the cuda backend as
//! on the processor.

use super::cuda;
use crate::{probe, vectors};
use hh_cuda::Compute;
use hh_runtime::task::completion::{Completion, Components};
use hh_tests::model::cpu;

#[test]
fn text_vectors_are_trained_as_on_the_processor() {
    vectors::agrees(|| cuda(Compute::F32), 2e-3).unwrap();
}

#[test]
fn knock_outs_cost_what_they_cost_on_the_processor() {
    let [found, wanted] = [probe::rows(cuda(Compute::F32)), probe::rows(cpu::<f32>(1))];
    assert_eq!(found.len(), wanted.len());
    for ((name, found), (_, wanted)) in found.iter().zip(&wanted) {
        assert!((found - wanted).abs() < 1e-3, "{name}: {found}, not {wanted}");
    }
}

#[test]
fn memories_complete_what_they_complete_on_the_processor() {
    let completion = Completion {
        dimension: 16,
        components: Components::Gaussian,
        patterns: vec![3, 9],
        noise: vec![0.3],
        mask: vec![0.5],
        beta: 32.0,
        trials: 1,
        seed: 1,
    };
    let (found, wanted) = (completion.run(&mut cuda(Compute::F32)).unwrap(), completion.run(&mut cpu::<f32>(1)).unwrap());
    for (found, wanted) in found.iter().zip(&wanted) {
        let same = (&found.memory, found.patterns, found.completed) == (&wanted.memory, wanted.patterns, wanted.completed);
        assert!(same && (found.error - wanted.error).abs() < 1e-4, "{found:?}, not {wanted:?}");
    }
}
