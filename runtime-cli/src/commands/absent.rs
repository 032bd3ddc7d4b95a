//! Placeholder for a command in a build without its cargo feature: accepts any arguments and fails with the feature's name.

use crate::features::{Absent, Feature};
use std::ffi::OsString;

/// Any arguments.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    any: Vec<OsString>,
}

/// Fails with [`Absent`].
pub(super) fn run(_: Args, feature: Feature) -> anyhow::Result<()> {
    Err(Absent(feature).into())
}
