//! What the files of cases use.

pub(super) use super::{
    AWKWARD, RECURRENT, awkward,
    case::{Case, Done, Input, Mode, Output, SIZES, State, Testable},
    desk::{Desk, Held, start_from},
    math::{add_scaled, all, all_mut, inner, sigmoid, silu, softmax, unit},
};
pub(super) use hh_core::{
    ops,
    shape::{Shape, Shaped},
};
