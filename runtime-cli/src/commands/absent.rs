//! What stands for a command in a build without its feature: it takes any arguments, and says what is missing.

use crate::features::{Absent, Feature};
use std::ffi::OsString;

/// Any arguments.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    any: Vec<OsString>,
}

/// The sentence for that feature.
pub(super) fn run(_: Args, feature: Feature) -> anyhow::Result<()> {
    Err(Absent(feature).into())
}
