//! The tasks by name.

use super::{DelayedCopy, Induction, Mqar, SelectiveCopy, Task};
use serde::{Deserialize, Serialize};

/// A task with its parameters.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is documented at its task")]
pub enum Kind {
    Mqar(Mqar),
    Copy(DelayedCopy),
    SelectiveCopy(SelectiveCopy),
    Induction(Induction),
}

impl Kind {
    /// The name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mqar(_) => "mqar",
            Self::Copy(_) => "copy",
            Self::SelectiveCopy(_) => "selective-copy",
            Self::Induction(_) => "induction",
        }
    }

    /// The task.
    pub fn task(&self) -> &dyn Task {
        match self {
            Self::Mqar(task) => task,
            Self::Copy(task) => task,
            Self::SelectiveCopy(task) => task,
            Self::Induction(task) => task,
        }
    }
}

/// The `[task]` section of a recipe.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Assignment {
    /// Number of training examples; if absent, every step generates new ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<u64>,
    /// Number of held-out examples.
    pub held_out: usize,
    /// Held-out accuracy at which training stops.
    pub enough: f64,
    /// The task.
    #[serde(flatten)]
    pub kind: Kind,
}
