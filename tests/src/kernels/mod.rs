//! The kernel suite: every kernel as a few cases that carry their formula, on any backend.
//!
//! A [`Case`] builds an op from its parameters and says what it computes in plain loops over f64. The harness does the
//! rest: [`check`] runs the small cases on a backend, [`check_native`] all cases on the processor, where the gradients are
//! compared with differences of the formula. A new op is one struct in a file of its own, and one line in
//! [`for_each_kernel`](crate::for_each_kernel); its tests and its benchmark come from there.

mod adamw;
mod add;
mod advance;
mod attend;
mod average;
pub mod case;
mod check;
mod conv;
mod cross_entropy;
pub mod desk;
mod draw;
mod dropout;
mod embed;
mod episodic;
mod flow_hidden;
mod flow_point;
mod gate;
mod heads;
mod hebbian;
mod last;
pub mod math;
mod matmul;
mod mix;
mod muon;
mod native;
mod norm;
mod pool;
mod positions;
mod prelude;
mod recall;
mod rotate;
mod run;
mod scan;
mod squared_error;
mod stream;
mod sum_squares;
mod swiglu;

pub use adamw::AdamW;
pub use add::Add;
pub use advance::Advance;
pub use attend::Attend;
pub use average::Average;
pub use case::{Case, Testable};
pub use check::{check, check_cases};
pub use conv::Conv;
pub use cross_entropy::{CrossEntropy, Scored};
pub use draw::{Normal, Uniform};
pub use dropout::Dropout;
pub use embed::Embed;
pub use episodic::{Episodic, EpisodicLogProbs};
pub use flow_hidden::FlowHidden;
pub use flow_point::FlowPoint;
pub use gate::Gate;
pub use heads::Heads;
pub use hebbian::Hebbian;
pub use last::Last;
pub use matmul::{Matmul, To};
pub use mix::Mix;
pub use muon::Muon;
pub use native::check_native;
pub use norm::Norm;
pub use pool::Pool;
pub use positions::Positions;
pub use recall::Recall;
pub use rotate::Rotate;
pub use run::Bound;
pub use scan::Scan;
pub use squared_error::SquaredError;
pub use sum_squares::SumSquares;
pub use swiglu::Swiglu;

/// Expands `$macro! { $arguments; kernel Case, … }` with all kernels: a name, and the case that it goes by here.
#[macro_export]
macro_rules! for_each_kernel {
    ($macro:ident $(, $arguments:tt)*) => {
        $macro! { $($arguments)*;
            adamw AdamW, add Add, advance Advance, attend Attend, average Average, conv Conv, cross_entropy CrossEntropy,
            dropout Dropout, embed Embed, episodic Episodic, episodic_log_probs EpisodicLogProbs, flow_hidden FlowHidden,
            flow_point FlowPoint, gate Gate, hebbian Hebbian,
            last Last, matmul Matmul, mix Mix, muon Muon, norm Norm, normal Normal, pool Pool, positions Positions, recall Recall,
            rotate Rotate, scan Scan, squared_error SquaredError, sum_squares SumSquares, swiglu Swiglu, uniform Uniform
        }
    };
}

/// Extents that fill no vector, tile or task evenly.
const AWKWARD: [usize; 6] = [1, 3, 17, 63, 65, 500];

/// Rows and widths of row-wise kernels.
fn awkward() -> impl Iterator<Item = (usize, usize)> {
    AWKWARD.into_iter().flat_map(|rows| AWKWARD.map(|width| (rows, width)))
}

/// `[B, T, w]` of recurrences.
const RECURRENT: [[usize; 3]; 6] = [[1, 1, 1], [2, 2, 5], [1, 3, 33], [3, 7, 64], [2, 65, 40], [1, 130, 2]];
