//! What hooks see in the middle of a pass, and that looking changes nothing.

use hh_core::{
    backend::Device,
    hooks::{BlockId, Hooks},
    layers::{ChunkShape, block},
    model::{self, Acts, Model},
    pass::Pass,
    shape::{Shape, Shaped},
};
use hh_cpu::{Cpu, Tensor};
use hh_tests::model::{batch, cpu, kinds, model, wide};

/// Notes where it is called, and the width of what it is shown.
#[derive(Default)]
struct Diary(Vec<(&'static str, usize, usize, usize)>);

impl<B: Device> Hooks<B> for Diary {
    type Error = B::Error;

    fn packed(&mut self, _: &mut B, at: BlockId, packed: &mut B::Tensor) -> Result<(), B::Error> {
        self.0.push(("packed", at.segment, at.layer, packed.shape().width()));
        Ok(())
    }

    fn block(&mut self, _: &mut B, at: BlockId, acts: &block::Acts<B::Tensor>) -> Result<(), B::Error> {
        self.0.push(("block", at.segment, at.layer, acts.paths.shape().width()));
        Ok(())
    }

    fn summary(&mut self, _: &mut B, segment: usize, summary: &mut B::Tensor) -> Result<(), B::Error> {
        self.0.push(("summary", segment, 0, summary.shape().width()));
        Ok(())
    }
}

/// Hidden states, under hooks.
fn hidden<H: Hooks<Cpu<f32>>>(b: &mut Cpu<f32>, m: &Model<Tensor<f32>>, ids: &[u32], hooks: Option<&mut H>) -> Vec<f64> {
    let (c, time) = (&m.config, ids.len() / 2);
    let mut acts = Acts::new(b, c, ChunkShape { batch: 2, time, saved: false }).expect("memory");
    let mut tokens = b.alloc_indices(Shape::matrix(2, time)).expect("memory");
    b.upload_indices(ids, &mut tokens).expect("no device to lose");
    match hooks {
        Some(hooks) => {
            let done = model::forward(Pass::new(b, c).with_hooks(hooks), &m.params, None, &mut acts, &tokens);
            assert!(done.is_ok());
        }
        None => {
            let Ok(()) = model::forward(Pass::new(b, c), &m.params, None, &mut acts, &tokens);
        }
    }
    wide(&acts.hidden)
}

#[test]
fn hooks_see_every_block_of_every_pass_and_looking_changes_nothing() {
    let mut b = cpu::<f32>(1);
    for (name, c) in kinds() {
        let m = model(&mut b, &c);
        let [ids, _] = batch(&c, 3, 2, 9);
        let mut diary = Diary::default();
        let looked = hidden(&mut b, &m, &ids, Some(&mut diary));
        assert!(looked == hidden::<()>(&mut b, &m, &ids, None), "{name}: looking changed something");
        let mut expected = Vec::new();
        for segment in 0..c.segments {
            for layer in 0..c.layers {
                expected.push(("packed", segment, layer, c.in_rows(layer)));
                expected.push(("block", segment, layer, c.mixed(layer)));
            }
            if c.controller_width > 0 && segment + 1 < c.segments {
                expected.push(("summary", segment, 0, c.controller_width));
            }
        }
        assert_eq!(diary.0, expected, "{name}");
    }
}

/// Ends the pass at a block.
struct Refusal;

impl<B: Device> Hooks<B> for Refusal {
    type Error = BlockId;

    fn packed(&mut self, _: &mut B, at: BlockId, _: &mut B::Tensor) -> Result<(), BlockId> {
        if at == (BlockId { segment: 1, layer: 1 }) { Err(at) } else { Ok(()) }
    }
}

#[test]
fn a_hook_that_fails_ends_the_pass_with_its_error() {
    let mut b = cpu::<f32>(1);
    let c = hh_tests::model::config("");
    let m = model(&mut b, &c);
    let mut acts = Acts::new(&mut b, &c, ChunkShape { batch: 1, time: 4, saved: false }).expect("memory");
    let tokens = b.alloc_indices(Shape::matrix(1, 4)).expect("memory");
    let done = model::forward(Pass::new(&mut b, &c).with_hooks(Refusal), &m.params, None, &mut acts, &tokens);
    assert_eq!(done, Err(BlockId { segment: 1, layer: 1 }));
}
