//! The tasks that the program knows by name.

use super::{DelayedCopy, Induction, Mqar, SelectiveCopy, Task};
use serde::{Deserialize, Serialize};

/// A task with its parameters.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is what its task is")]
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

/// A task as a run has it: the `[task]` section of its recipe.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Assignment {
    /// Examples that are trained on again and again; absent, there are new ones in every step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<u64>,
    /// Held-out examples.
    pub held_out: usize,
    /// The share of right answers to held-out examples at which training ends.
    pub enough: f64,
    /// The task.
    #[serde(flatten)]
    pub kind: Kind,
}
