//! `hh-runtime train`

/// Arguments of `train`.
#[derive(clap::Args)]
pub struct Args {}

/// Trains.
pub fn run(_: Args) -> anyhow::Result<()> {
    anyhow::bail!("train is not there yet")
}
