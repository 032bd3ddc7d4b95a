//! Work that the cuda backend records and replays is the work that it queues kernel by kernel, bit for bit.

use super::cuda;
use crate::vectors;
use hh_core::{
    backend::{Device, Forward, Precision},
    session::{Options, Session},
    shape::Shape,
    train::{HyperParams, Losses, Trainer},
};
use hh_cuda::{Compute, Cuda, Recording};
use hh_tests::model::{batch, config, hyper, kinds, model, named, text, trainer};

const STEPS: u32 = 5;

/// What comes of training, and how much of it was replayed.
struct Trained {
    train_state: Vec<(String, Vec<f64>)>,
    losses: Vec<Losses>,
    replays: u64,
}

/// Five steps of two micro-batches with everything on that changes from step to step: dropout, the flow head's draws, warm-up,
/// bias correction, clipping, the average's rate. All numbers that come of it.
fn train(b: Cuda, disturb: impl Fn(u32, &mut Trainer<Cuda>)) -> Trained {
    let c = config("");
    let h = HyperParams { dropout: 0.2, accumulate: 2, ..hyper(&c) };
    let mut trainer = trainer(b, &c, h, 2, 19);
    let mut losses = Vec::new();
    for step in 0..STEPS {
        for micro in 0..2 {
            let [tokens, targets] = batch(&c, 100 + 2 * step + micro, 2, 19);
            trainer.accumulate(&tokens, &targets).expect("no device to lose");
            losses.push(trainer.losses().expect("no device to lose"));
        }
        trainer.apply().expect("no device to lose");
        disturb(step, &mut trainer);
    }
    let all = trainer.train_state().named().into_iter().flat_map(|(tree, of)| {
        let rename = move |(leaf, numbers)| (format!("{leaf} of the {tree}"), numbers);
        named(&c, of).into_iter().map(rename).collect::<Vec<_>>()
    });
    Trained { train_state: all.collect(), losses, replays: trainer.backend.replays() }
}

#[test]
fn a_replayed_step_is_the_step_bit_for_bit() {
    for compute in [Compute::F32, Compute::Bf16] {
        let eager = train(cuda(compute).eager(), |_, _| ());
        let found = train(cuda(compute), |_, _| ());
        // All but the first of each: ten micro-batches, five updates.
        assert_eq!((eager.replays, found.replays), (0, 9 + 4), "{compute:?}");
        assert!(found.losses == eager.losses, "{compute:?}: losses");
        for ((name, found), (_, wanted)) in found.train_state.iter().zip(&eager.train_state) {
            assert!(found == wanted, "{compute:?}: {name}");
        }
    }
}

#[test]
fn replayed_steps_of_text_vectors_are_the_steps_bit_for_bit() {
    let mut replays = Vec::new();
    let eager = vectors::trained(|| cuda(Compute::F32).eager(), |b| assert_eq!(b.replays(), 0));
    let found = vectors::trained(|| cuda(Compute::F32), |b| replays.push(b.replays()));
    assert!(found == eager);
    // Of four steps three at least: the update, the head, both validations of it, and a pass each way.
    assert!(replays.len() == 3 && replays.iter().all(|&n| n >= 3 * 6), "{replays:?}");
}

/// What lies between steps may let scratch grow, or put other tensors into the trees: what was recorded is not used then.
#[test]
fn a_recording_outlives_no_memory_that_it_is_over() {
    let disturb = |step: u32, trainer: &mut Trainer<Cuda>| match step {
        1 => {
            let [tokens, targets] = batch(trainer.config(), 7, 2, 19);
            trainer.evaluate(true, &tokens, &targets).expect("no device to lose");
        }
        2 => {
            let (_, train_state) = trainer.train_state_mut();
            std::mem::swap(&mut train_state.weights.norm, &mut train_state.ema.norm);
        }
        3 => drop(trainer.backend.alloc(Shape::vector(9), Precision::Full).expect("memory")),
        _ => {}
    };
    let [eager, found] = [cuda(Compute::F32).eager(), cuda(Compute::F32)].map(|b| train(b, disturb));
    assert!(found.train_state == eager.train_state && found.losses == eager.losses);
    assert!((1..13).contains(&found.replays), "{}", found.replays);
}

#[test]
fn a_replayed_step_of_a_session_is_the_step_bit_for_bit() {
    for (name, c) in kinds().into_iter().filter(|(name, _)| ["full", "classic", "learned positions", "factorised"].contains(name)) {
        let run = |mut b: Cuda| {
            let model = model(&mut b, &c);
            let mut session = Session::new(b, &model, Options { batch: 2, context: 4, ..Options::default() }).expect("a session");
            let mut all = Vec::new();
            session.prefill(&text(&c, 3, 6)).expect("ids of the vocabulary");
            for i in 0..6 {
                all.push(session.step(&text(&c, 10 + i, 2)).expect("ids of the vocabulary").to_vec());
            }
            let snapshot = session.snapshot().expect("no device to lose");
            all.push(session.step(&text(&c, 4, 2)).expect("ids of the vocabulary").to_vec());
            session.restore(&snapshot).expect("its own state");
            all.push(session.step(&text(&c, 4, 2)).expect("ids of the vocabulary").to_vec());
            assert!(all[6] == all[7], "{name}: a step after a roll-back");
            (all, session.backend_mut().replays())
        };
        let ((eager, _), (found, replays)) = (run(cuda(Compute::F32).eager()), run(cuda(Compute::F32)));
        assert!(found == eager, "{name}");
        assert_eq!(replays, 7, "{name}");
    }
}

/// What a recording would do but once is said, not done: memory, uploads, downloads.
#[test]
fn what_a_replay_would_not_do_again_is_a_fault() {
    type Deed = fn(&mut Cuda, &mut hh_cuda::Tensor) -> Result<(), hh_cuda::DeviceError>;
    let deeds: [(&str, Deed); 3] = [
        ("memory was allocated", |b, _| b.alloc(Shape::vector(3), Precision::Full).map(drop)),
        ("data was uploaded", |b, t| b.upload(&[1.0; 3], t)),
        ("data was downloaded", |b, t| b.download(t, &mut [0.0; 3])),
    ];
    for (wanted, deed) in deeds {
        let mut b = cuda(Compute::F32);
        let mut tensor = b.alloc(Shape::vector(3), Precision::Full).expect("memory");
        let mut recording = Recording::default();
        b.repeat(&mut recording, |b| deed(b, &mut tensor).expect("the first time may do anything"));
        let mut said = None;
        b.repeat(&mut recording, |b| said = deed(b, &mut tensor).err());
        let said = said.expect(wanted).to_string();
        assert!(said.contains(wanted) && said.contains("recorded"), "{said}");
    }
    let mut b = cuda(Compute::F32);
    let mut tensors =
        vec![b.alloc(Shape::vector(3), Precision::Full).expect("memory"), b.alloc(Shape::vector(3), Precision::Full).expect("memory")];
    let mut recording = Recording::default();
    b.repeat(&mut recording, |_| ());
    // Freeing waits for the device, which would invalidate the recording: it waits until the recording has ended.
    let before = b.held()[0];
    let mut meanwhile = 0;
    b.repeat(&mut recording, |b| {
        drop(tensors.pop());
        meanwhile = b.held()[0];
    });
    assert!(meanwhile == before && b.held()[0] < before, "{before}, {meanwhile}, {}", b.held()[0]);
    let said = b.alloc(Shape::vector(3), Precision::Full).expect_err("a tensor was dropped").to_string();
    assert!(said.contains("memory was freed"), "{said}");
    b.repeat(&mut recording, |b| b.fill(2.0, &mut tensors[0]));
    assert_eq!(tensors[0].numbers().expect("no device to lose"), [2.0; 3], "it goes on afterwards");
}
