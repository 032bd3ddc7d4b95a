//! `hh-runtime data`: texts to train on.

use crate::data::sets::{DATA_SETS, Download, find};
#[cfg(not(feature = "download"))]
use crate::features::{Absent, Feature};
use crate::files;
#[cfg(feature = "download")]
use crate::progress::Bar;
use crate::train::builtin;
use anyhow::Result;
use clap::Subcommand;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  hh-runtime data list
  hh-runtime data get tinyshakespeare && hh-runtime train --data data/tinyshakespeare/input.txt
  hh-runtime data builtin --out corpus.txt

A download that was cut is gone on with where it stopped, and every file is compared with its SHA-256. Proxies are taken from \
the environment, and so is SSL_CERT_FILE: a PEM file of certificates to trust in place of the built-in ones. Without a network, \
put the files in their places yourself: `data get` then only checks them.";

/// Arguments of `data`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Download a public data set
    Get {
        /// Its name; `data list` has them all
        name: String,
        /// The folder that its own folder goes into
        #[arg(long, value_name = "DIR", default_value = "data")]
        dir: PathBuf,
    },
    /// List the public data sets
    List,
    /// Write the corpus that the program makes itself from a seeded grammar
    Builtin {
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Gets, lists or writes.
pub fn run(args: Args) -> Result<()> {
    let mut out = io::stdout().lock();
    match args.action {
        Action::List => {
            for set in &DATA_SETS {
                writeln!(out, "{:<16} {}\n{:<16} {}", set.name, set.about, "", set.url)?;
            }
        }
        Action::Builtin { out: path } => {
            let text = builtin();
            files::write_atomically(&path, |w| w.write_all(text.as_bytes()))?;
            writeln!(out, "{}  {} bytes", path.display(), text.len())?;
        }
        Action::Get { name, dir } => get(find(&name)?, &dir, &mut out)?,
    }
    Ok(())
}

#[cfg(feature = "download")]
fn get(set: &Download, folder: &Path, out: &mut impl Write) -> Result<()> {
    use crate::data::get::{Client, Progress, get};
    let client = Client::from_environment()?;
    let bar = Bar::new("{msg} {bar:30} {bytes} of {total_bytes}  {bytes_per_sec}  {eta}", 0, 0);
    bar.set_message(set.name);
    let mut tell = |progress: Progress| {
        bar.set_length(progress.total.unwrap_or(progress.done));
        bar.set(progress.done);
    };
    let got = get(set, folder, &client, &mut tell);
    bar.finish();
    for file in got? {
        writeln!(out, "{}  {} bytes  sha256 {}", file.path.display(), file.bytes, file.sha256)?;
    }
    Ok(())
}

#[cfg(not(feature = "download"))]
fn get(set: &Download, folder: &Path, _: &mut impl Write) -> Result<()> {
    let by_hand = format!("{} lies at {}, and belongs into {}", set.name, set.url, folder.join(set.name).display());
    Err(anyhow::Error::from(Absent(Feature::Download)).context(by_hand))
}
