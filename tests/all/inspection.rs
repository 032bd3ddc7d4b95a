//! What an inspector says, against a plain computation over the whole text, without a state.

use hh_core::{
    config::{Association, Config, HopfieldKind},
    inspect::{Inspector, Item},
    layers::{ChunkShape, hopfield::Memory},
    model::{self, Acts, Model, Params},
    pass::Pass,
    session::{Options, Session},
    shape::Shape,
};
use hh_cpu::{Cpu, Tensor};
use hh_tests::{
    kernels::math::{inner, softmax, unit},
    model::{cpu, kinds, model, text, wide},
};

const LENGTH: usize = 11;
const BATCH: usize = 2;

/// The activations of the whole text at once.
fn whole(b: &mut Cpu<f32>, m: &Model<Tensor<f32>>, ids: &[u32]) -> Acts<Tensor<f32>> {
    use hh_core::backend::Device;
    let mut acts = Acts::new(b, &m.config, ChunkShape { batch: BATCH, time: LENGTH, saved: true }).expect("memory");
    let mut tokens = b.alloc_indices(Shape::matrix(BATCH, LENGTH)).expect("memory");
    b.upload_indices(ids, &mut tokens).expect("no device to lose");
    let Ok(()) = model::forward(Pass::new(b, &m.config), &m.params, None, &mut acts, &tokens);
    acts
}

/// The shares of all items that the query at `t` of a sequence sees, after the formula of `ops::Recall`.
fn shares(c: &Config, p: &Params<Tensor<f32>>, a: &Acts<Tensor<f32>>, layer: usize, sequence: usize, t: usize) -> Vec<(Item, f64)> {
    let (Some(p), Some(acts)) = (&p.blocks[layer].hopfield, &a.blocks[layer].hopfield) else { return Vec::new() };
    let Memory::Modern(slots) = &p.memory else { return Vec::new() };
    let (d, w, heads) = (c.head_dim, c.hopfield_width[layer], c.hopfield_width[layer] / c.head_dim);
    let (packed, rows) = (wide(&a.blocks[layer].packed), c.in_rows(layer));
    let column =
        |t: usize, part: usize, head: usize| &packed[(sequence * LENGTH + t) * rows + 4 * c.ssm_width[layer] + part * w + head * d..][..d];
    let depths = softmax(&wide(&acts.depth)[(sequence * LENGTH + t) * c.depth(layer)..][..c.depth(layer)]);
    let successor = usize::from(c.hopfield_association == Association::Successor);
    let window = if c.hopfield_window == 0 { usize::MAX } else { c.hopfield_window };
    let positions = (successor..=t).filter(|j| t - j < window).map(|j| Item::Position(j as u64));
    let mut all: Vec<(Item, f64)> = (0..c.hopfield_slots).map(Item::Slot).chain(positions).map(|item| (item, 0.0)).collect();
    for head in 0..heads {
        let patterns: Vec<Vec<f64>> = all
            .iter()
            .map(|(item, _)| match *item {
                Item::Slot(slot) => unit(&wide(&slots.as_ref().expect("slots")[0])[(head * c.hopfield_slots + slot) * d..][..d]),
                Item::Position(j) => unit(column(j as usize - successor, 1, head)),
            })
            .collect();
        let mut query = unit(column(t, 0, head));
        for depth in &depths {
            let beta = wide(&p.log_beta)[head].exp();
            let scores: Vec<f64> = patterns.iter().map(|p| beta * inner(p, &query)).collect();
            let scores = softmax(&scores);
            let moved = |i: usize| query[i] + scores.iter().zip(&patterns).map(|(s, p)| s * p[i]).sum::<f64>();
            query = unit(&(0..d).map(moved).collect::<Vec<_>>());
            all.iter_mut().zip(&scores).for_each(|((_, sum), s)| *sum += depth * s / heads as f64);
        }
    }
    all
}

#[test]
fn gates_and_what_was_recalled_are_those_of_a_plain_computation() {
    for (name, c) in kinds() {
        let mut b = cpu::<f32>(1);
        let m = model(&mut b, &c);
        let ids: Vec<u32> = (0..BATCH as u32).flat_map(|row| text(&c, row, LENGTH)).collect();
        let acts = whole(&mut b, &m, &ids);
        let mut inspector = Inspector::new(usize::MAX);
        let options = Options { batch: BATCH, context: LENGTH, ..Options::default() };
        let mut session = Session::new(b, &m, options).expect("a session");
        assert!(inspector.layers(1).is_empty(), "{name}: nothing was watched yet");
        for t in 0..LENGTH {
            let step: Vec<u32> = (0..BATCH).map(|row| ids[row * LENGTH + t]).collect();
            session.watch(&step, &mut inspector).expect("ids of the vocabulary");
            for (sequence, layer) in (0..BATCH).flat_map(|s| (0..c.layers).map(move |l| (s, l))) {
                let (seen, at) = (&inspector.layers(sequence)[layer], format!("{name}, layer {layer}, position {t} of {sequence}"));
                let mut gates =
                    acts.blocks[layer].mixer.gate.iter().flat_map(|g| wide(&g.gates)).skip((sequence * LENGTH + t) * c.gates(layer));
                for (gate, on) in seen.gates.iter().zip(c.on(layer)) {
                    match gates.next_if(on && c.gates(layer) > 0) {
                        Some(expected) => {
                            assert!((f64::from(gate.expect("a gate")) - expected).abs() < 1e-4, "{at}: {gate:?}, not {expected}")
                        }
                        None => assert_eq!(*gate, None, "{at}"),
                    }
                }
                let expected = shares(&c, &m.params, &acts, layer, sequence, t);
                assert_eq!(seen.recalled.len(), expected.len(), "{at}");
                assert!(seen.recalled.is_sorted_by(|a, b| a.weight >= b.weight), "{at}");
                for recalled in &seen.recalled {
                    let (_, share) = expected.iter().find(|(item, _)| *item == recalled.item).expect("an item that the query sees");
                    assert!((f64::from(recalled.weight) - share).abs() < 1e-4, "{at}: {recalled:?}, not {share}");
                }
            }
        }
        let seen = inspector.layers(0).iter().any(|seen| !seen.recalled.is_empty());
        assert_eq!(seen, c.hopfield_kind == HopfieldKind::Modern && c.hopfield_width.iter().any(|&w| w > 0), "{name}");
    }
}

/// Takes the next element if it is wanted at all.
trait NextIf: Iterator {
    fn next_if(&mut self, wanted: bool) -> Option<Self::Item> {
        if wanted { self.next() } else { None }
    }
}
impl<I: Iterator> NextIf for I {}

#[test]
fn a_step_that_is_watched_is_a_step() {
    for (name, c) in kinds() {
        let ids = text(&c, 3, LENGTH);
        let logits = |watched: &dyn Fn(usize) -> bool| -> Vec<f32> {
            let mut b = cpu::<f32>(1);
            let m = model(&mut b, &c);
            // A ring that the text goes around.
            let mut session = Session::new(b, &m, Options { context: 4, ..Options::default() }).expect("a session");
            let mut inspector = Inspector::new(2);
            for (t, &id) in ids.iter().enumerate() {
                let done = if watched(t) { session.watch(&[id], &mut inspector) } else { session.step(&[id]) };
                done.expect("an id of the vocabulary");
            }
            assert!(inspector.layers(0).iter().all(|seen| seen.recalled.len() <= 2), "{name}");
            let error = session.watch(&ids[..2], &mut inspector).unwrap_err().to_string();
            assert!(error.contains("one token of each sequence, and here are 2"), "{error}");
            session.logits().to_vec()
        };
        let plain = logits(&|_| false);
        assert_eq!(logits(&|_| true), plain, "{name}");
        assert_eq!(logits(&|t| t % 3 == 1), plain, "{name}");
    }
}
