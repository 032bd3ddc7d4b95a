//! What several ranks check before they train together.

use super::{Args, Prepared};
use crate::data::spool::STDIN;
use crate::machine::{Backend, Machine};
use crate::ranks::{Ranks, broadcast_text, require_equal};
use crate::train::RunFolder;
use anyhow::{Result, bail};
use hh_core::train::Rank;
use hh_cpu::{Cpu, Level};
use std::path::Path;

/// The device that small messages are said to be on: they are on none.
type Any = Cpu<f32>;

/// Checks what only one process can do.
///
/// # Errors
/// A backend without a sum over ranks, and a text that only one process can read.
pub(super) fn check(args: &Args) -> Result<()> {
    if !matches!(args.machine.backend, Backend::Auto | Backend::Cpu) {
        bail!("several ranks train on the cpu backend only: leave out --backend, or start one process");
    }
    let lists = [&args.text.files, &args.text.validation];
    if lists.into_iter().flatten().flatten().any(|path| path.as_os_str() == STDIN) {
        bail!("several ranks cannot share the standard input: give --data a file that all of them can read");
    }
    Ok(())
}

/// Checks that all ranks have the same program, recipe, text and state, and gives them the folder of rank 0.
///
/// # Errors
/// A rank that has something else, or cannot be reached.
pub(super) fn agree(prepared: Prepared, machine: &Machine, ranks: &mut Ranks) -> Result<Prepared> {
    let Rank { rank, size } = ranks.place();
    if size == 1 {
        return Ok(prepared);
    }
    let Prepared { recipe, source, folder, resume_point } = &prepared;
    let level = if machine.portable { Level::portable() } else { Level::detect() };
    let resumed = resume_point.as_ref().map_or_else(String::new, |point| format!("{} {:?}", point.step, point.best));
    // Paths may differ: nodes need not have the same folders.
    let mut general = recipe.clone();
    general.data.files.clear();
    general.data.validation.clear();
    general.train.from = None;
    let facts = [
        ("version of hh-runtime", env!("CARGO_PKG_VERSION").to_owned()),
        ("set of vector instructions, whose bits differ without --portable", level.name().to_owned()),
        ("recipe", general.to_toml()),
        ("text", format!("{:?}{}", source.origins, source.split)),
        ("tokenizer", source.tokenizer.to_json()),
        ("checkpoint to resume", resumed),
    ];
    let agreed = require_equal::<Any>(ranks, &facts).and_then(|()| Ok(broadcast_text::<Any>(ranks, &folder.path().to_string_lossy())?));
    let path = agreed.inspect_err(|_| {
        if rank == 0 {
            folder.abandon()
        }
    })?;
    if rank == 0 {
        return Ok(prepared);
    }
    Ok(Prepared { folder: RunFolder::at(Path::new(&path)), ..prepared })
}
