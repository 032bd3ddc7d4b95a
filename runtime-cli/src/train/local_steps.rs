//! What a run with local steps saves beside the rest: the moments of each rank, and the momentum of the outer steps.

use hh_core::backend::{Backward, Device};
use hh_core::collective::Collective;
use hh_core::error::Error;
use hh_core::model;
use hh_core::shape::{Shape, Shaped};
use hh_core::train::Trainer;

/// Tensors of the host for a resume file.
#[derive(Default)]
pub(super) struct Local {
    /// Number of ranks; `None` without local steps.
    pub(super) ranks: Option<usize>,
    /// Names, shapes and numbers.
    pub(super) tensors: Vec<(String, Shape, Vec<f32>)>,
}

/// Start of the names of a rank's moments. Those of rank 0 have none, as without local steps.
pub(super) fn prefix(rank: usize) -> String {
    if rank == 0 { String::new() } else { format!("rank{rank}.") }
}

/// Name of the outer momentum of a weight.
pub(super) fn outer(name: &str) -> String {
    format!("outer.{name}")
}

/// On rank 0, what it saves of all ranks. To be called by all of them.
///
/// # Errors
/// A rank that cannot be reached, or a device error.
pub(super) fn gather<B: Backward, R>(trainer: &mut Trainer<B, R>, ranks: &mut impl Collective<B>) -> Result<Local, Error> {
    let mut all = Local::default();
    let shapes = model::shapes(trainer.config());
    let Some(momentum) = trainer.outer_mut().map(|outer| outer.momentum.clone()) else { return Ok(all) };
    all.ranks = Some(ranks.size());
    let (b, state) = trainer.train_state_mut();
    for root in 1..ranks.size() {
        for (tree, params) in state.named().into_iter().filter(|(tree, _)| ["first", "second"].contains(tree)) {
            for ((name, shape), leaf) in shapes.iter().zip(params.leaves()).filter(|((_, shape), leaf)| leaf.shape() == *shape) {
                let numbers = from(root, b, leaf, ranks)?;
                if ranks.rank() == 0 {
                    all.tensors.push((format!("{}{tree}.{name}", prefix(root)), *shape, numbers));
                }
            }
        }
    }
    let mut rest = &momentum[..];
    for (name, shape) in &shapes {
        let (part, after) = rest.split_at(shape.count());
        all.tensors.push((outer(name), *shape, part.to_vec()));
        rest = after;
    }
    Ok(all)
}

/// The numbers of a tensor on rank `root`.
fn from<B: Device>(root: usize, b: &mut B, leaf: &B::Tensor, ranks: &mut impl Collective<B>) -> Result<Vec<f32>, Error> {
    let mut numbers = vec![0.0; leaf.shape().count()];
    if ranks.rank() == root {
        b.download(leaf, &mut numbers).map_err(Error::device)?;
    }
    let mut bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    ranks.broadcast(root, &mut bytes)?;
    numbers.iter_mut().zip(bytes.as_chunks::<4>().0).for_each(|(x, &from)| *x = f32::from_le_bytes(from));
    Ok(numbers)
}
