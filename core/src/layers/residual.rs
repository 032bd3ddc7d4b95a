//! The two residual branches of a block, with dropout in training.

use crate::{
    backend::{Backward, Forward},
    ops::Matmul,
    pass::Pass,
};

/// Which branch of a block.
#[derive(Clone, Copy)]
pub(super) enum Branch {
    /// Paths and mixer.
    Mixing,
    /// The feed-forward half.
    FeedForward,
}

/// The dropout site of a branch. Site 0 is the embedding's, and each block of each segment takes two.
fn site<B: Forward, H>(pass: &Pass<'_, B, H>, of: Branch) -> u32 {
    (1 + 2 * (pass.config.layers * pass.block.segment + pass.block.layer) + of as usize) as u32
}

/// `y = x + branch`, the branch a matrix product that goes through dropout if the pass has any.
pub(super) fn residual<B: Forward, H>(pass: &mut Pass<'_, B, H>, of: Branch, branch: Matmul<B::Tensor>, x: &B::Tensor, y: &mut B::Tensor) {
    match pass.dropout {
        None => pass.backend.matmul(Matmul { add: Some(x), ..branch }, y),
        Some(noise) => {
            let site = site(pass, of);
            pass.backend.matmul(branch, y);
            pass.backend.dropout(noise.dropout(site, Some(x)), y);
        }
    }
}

/// The gradient of a [`residual`]'s branch: `dy` itself, or `dy` through the mask, in `room`.
pub(super) fn residual_grad<'a, B: Backward, H>(
    pass: &mut Pass<'_, B, H>,
    of: Branch,
    dy: &'a B::Tensor,
    room: &'a mut B::Tensor,
) -> &'a B::Tensor {
    match pass.dropout {
        None => dy,
        Some(noise) => {
            let site = site(pass, of);
            pass.backend.dropout_grad(noise.dropout(site, None), dy, room);
            room
        }
    }
}
