//! The optimiser, over all tensors of a model in one launch: a table on the device holds their addresses.

use crate::{
    Cuda, Tensor,
    error::DeviceError,
    launch::{Arg, LaunchDims, Memory, Variant},
};
use hh_core::{
    ops::{AdamW, AdamWLeaf},
    shape::Shaped,
};

/// Elements per chunk, as in optimise.cu.
const CHUNK: usize = 4096;
/// Largest number of partial sums of squares.
const BLOCKS: usize = 512;

/// Tables on the device: of the gradients, of the tensors that AdamW updates, and of the matrices that Muon updates.
#[derive(Default)]
pub(crate) struct Tables {
    gradients: Option<Table>,
    all: Option<Table>,
    muon: Option<Table>,
}

impl Tables {
    /// The table of the matrices that Muon updates.
    pub(crate) fn muon(&mut self) -> &mut Option<Table> {
        &mut self.muon
    }
}

pub(crate) struct Table {
    bytes: Vec<u8>,
    memory: Memory,
}

/// A table under construction: an array of `Leaf` of optimise.cu.
#[derive(Default)]
struct Leaves {
    bytes: Vec<u8>,
    count: usize,
    chunks: usize,
}

impl Leaves {
    /// Adds one parameter: weight, gradient, both moments, moving average, all of one size.
    fn push(&mut self, [weight, grad, first, second, ema]: [Option<&Tensor>; 5], decay: f32, rate: f32) {
        let of = [weight, grad, first, second, ema];
        assert!(of.iter().flatten().all(|t| !t.bf16), "the optimiser works on f32");
        let count = grad.map_or(0, |t| t.shape().count());
        let addresses = of.map(|t| Arg::from(t.map_or(0, |t| t.memory.address())));
        let shadow = weight.and_then(|t| t.shadow.as_ref()).map_or(0, Memory::address);
        let sizes = [shadow.into(), (count as u64).into(), self.chunks.into(), decay.into(), rate.into(), 0usize.into()];
        self.bytes.extend_from_slice(Arg::group(&[&addresses[..], &sizes].concat()).bytes());
        self.count += 1;
        self.chunks += count.div_ceil(CHUNK);
    }
}

/// The address of a table on the device. It is uploaded once, since it is the same in every step.
pub(crate) fn upload(b: &mut Cuda, bytes: Vec<u8>, choose: impl Fn(&mut Tables) -> &mut Option<Table>) -> u64 {
    let device = b.device.clone();
    let cached = choose(&mut b.tables);
    if let Some(table) = cached.as_ref().filter(|table| table.bytes == bytes) {
        return table.memory.address();
    }
    let made = || -> Result<Table, DeviceError> {
        let mut memory = Memory::new(&device, bytes.len())?;
        memory.upload(&bytes)?;
        Ok(Table { bytes, memory })
    };
    let made = made();
    let made = b.check(made);
    let cached = choose(&mut b.tables);
    *cached = made;
    cached.as_ref().map_or(0, |table| table.memory.address())
}

pub(crate) fn sum_squares<'a>(b: &mut Cuda, of: impl Iterator<Item = &'a Tensor>, total: &mut Tensor) {
    assert_eq!(total.shape().count(), 1, "sum_squares: total");
    b.reset_scratch();
    let mut leaves = Leaves::default();
    of.for_each(|grad| leaves.push([None, Some(grad), None, None, None], 0.0, 0.0));
    let (count, chunks) = (leaves.count, leaves.chunks);
    let table = upload(b, leaves.bytes, |tables| &mut tables.gradients);
    let blocks = chunks.min(BLOCKS);
    let partial = b.take(4 * blocks);
    let launch_dims = |blocks| LaunchDims { grid: [blocks, 1, 1], threads: 256, shared: 0 };
    b.run("optimise", "sum_squares", Variant::Plain, launch_dims(blocks), &[table.into(), count.into(), chunks.into(), partial.into()]);
    b.run("optimise", "sum_partials", Variant::Plain, launch_dims(1), &[partial.into(), blocks.into(), total.flat().into()]);
}

pub(crate) fn adamw<'a>(b: &mut Cuda, op: AdamW<Tensor>, of: impl Iterator<Item = AdamWLeaf<'a, Tensor>>) {
    let mut leaves = Leaves::default();
    for leaf in of {
        op.dims(&leaf);
        let AdamWLeaf { weight, grad, first, second, ema, decay, rate } = leaf;
        leaves.push([weight, grad, first, second, ema].map(|t| Some(&*t)), decay, rate);
    }
    let (count, chunks) = (leaves.count, leaves.chunks);
    let table = upload(b, leaves.bytes, |tables| &mut tables.all);
    let rates = Arg::group(&[op.clip, op.beta1, op.beta2, op.eps].map(Into::into));
    let args = [op.schedule.flat().into(), op.total.flat().into(), rates, table.into(), count.into()];
    b.run("optimise", "adamw", Variant::Plain, LaunchDims { grid: [chunks, 1, 1], threads: 256, shared: 0 }, &args);
}
