//! `hh-runtime memory`: documents that a model has read and looks up while it generates.

use crate::files;
use crate::loading::Source;
use crate::state_file;
use crate::stderr::say;
use crate::stdout;
use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use hh::{KeyFormat, LoadedModel, Memory, Passage, TextSession};
use hh_cpu::{Cpu, Tensor, Threads};
use serde::Serialize;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Start of `memory --help`.
pub const ABOUT: &str = "\
List, search, forget and export what an episodic memory holds, or let it learn documents.

A memory file is made by `memory learn`: the model reads each document once, without training, and keeps for every position the \
state that it was in with the token that followed. `sample --memory FILE` looks these items up for each token. After `memory \
forget` the file is byte for byte the one that never read the document.

list, search and export also take a state that `sample --state` saved; its one document is the text of the state, as far as the \
memory still holds it. The model needs an episodic memory; any checkpoint can be given one with `train --from CHECKPOINT --only \
episodic`.";

const EXAMPLES: &str = "\
Examples:
  hh-runtime memory learn model.safetensors mine.memory notes/*.txt
  hh-runtime sample model.safetensors --memory mine.memory --prompt 'Anna ' --votes
  hh-runtime memory search model.safetensors mine.memory 'Lisbon'
  hh-runtime memory search model.safetensors mine.memory --like 'she travelled to '
      items whose state is most like the one after that text
  hh-runtime memory forget model.safetensors mine.memory notes/diary.txt";

/// Arguments of `memory`; see [`ABOUT`].
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read text files into a memory file, each as a document named after its path
    Learn {
        #[command(flatten)]
        files: Files,
        /// The text files, in UTF-8
        #[arg(value_name = "TEXT", required = true)]
        texts: Vec<PathBuf>,
        /// How the keys of a new memory file are stored
        #[arg(long, value_enum, default_value_t = Keys::F16)]
        keys: Keys,
    },
    /// List the documents, or the items of one
    List {
        #[command(flatten)]
        files: Files,
        /// List the items of this document
        #[arg(long, value_name = "NAME")]
        document: Option<String>,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Find items by their text, or by the state that the model was in
    Search {
        #[command(flatten)]
        files: Files,
        /// Text that a passage contains
        #[arg(value_name = "TEXT", required_unless_present = "like")]
        text: Option<String>,
        /// Find the items whose state is most like the one after this text
        #[arg(long, value_name = "TEXT", conflicts_with = "text")]
        like: Option<String>,
        /// Most items to print
        #[arg(long, short = 'n', value_name = "N", default_value_t = 10)]
        most: usize,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Take a document out of a memory file, exactly
    Forget {
        #[command(flatten)]
        files: Files,
        /// Name of the document, as `memory list` prints it
        #[arg(value_name = "NAME")]
        document: String,
    },
    /// Write every item as a line of JSON: item, document, position, text before, token, uses
    Export {
        #[command(flatten)]
        files: Files,
        /// Output file; the standard output if absent
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(clap::Args)]
struct Files {
    /// A checkpoint with an episodic memory, a run folder (its best.safetensors is used), a Hugging Face folder, or hf://owner/name of the Hub
    checkpoint: PathBuf,
    /// The memory file, or a state that `sample --state` saved
    memory: PathBuf,
}

/// How keys are stored.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum Keys {
    /// 4 bytes a number
    F32,
    /// 2 bytes a number
    F16,
    /// 1 byte a number
    Q8,
}

impl From<Keys> for KeyFormat {
    fn from(keys: Keys) -> Self {
        match keys {
            Keys::F32 => Self::F32,
            Keys::F16 => Self::F16,
            Keys::Q8 => Self::Q8,
        }
    }
}

/// Runs a subcommand.
///
/// # Errors
/// Invalid checkpoints, memories, texts or names, or a file that cannot be written.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Learn { files, texts, keys } => learn(&files, &texts, keys.into()),
        Command::List { files, document: None, json } => documents(&files, json),
        Command::List { files, document: Some(name), json } => items(&files, &name, json),
        Command::Search { files, text, like, most, json } => search(&files, text.as_deref(), like.as_deref(), most, json),
        Command::Forget { files, document } => forget(&files, &document),
        Command::Export { files, out } => export(&files, out.as_deref()),
    }
}

/// A model, on the CPU.
struct Opened {
    loaded: LoadedModel<Tensor<f32>>,
}

type Session<'a> = TextSession<Cpu<f32>, &'a LoadedModel<Tensor<f32>>>;

impl Opened {
    fn new(path: &Path) -> Result<Self> {
        Ok(Self { loaded: Source::open(path)?.load(&mut Self::cpu(), None)? })
    }

    fn cpu() -> Cpu<f32> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Cpu::new(Threads::new(threads))
    }

    /// A session whose episodic memory needs to hold no more than a chunk at a time.
    fn session(&self) -> Result<Session<'_>> {
        Ok(TextSession::with_episodes(Self::cpu(), &self.loaded, None, None, Some(1))?)
    }
}

impl Files {
    fn open(&self) -> Result<Opened> {
        Opened::new(&self.checkpoint)
    }

    /// The memory in the file, which must be one or a state.
    fn read(&self, opened: &Opened) -> Result<Memory> {
        let in_file = || format!("cannot use {}", self.memory.display());
        let bytes = fs::read(&self.memory).with_context(|| format!("cannot read {}", self.memory.display()))?;
        if !state_file::is_one(&bytes) {
            let memory = Memory::from_bytes(&bytes).with_context(in_file)?;
            memory.check(&mut opened.session()?).with_context(in_file)?;
            return Ok(memory);
        }
        let state = state_file::read(&bytes).with_context(in_file)?;
        let (context, segments) = (state.state.context(), state.state.segments());
        let mut session = TextSession::new(Opened::cpu(), &opened.loaded, Some(context), Some(segments))?;
        session.restore(&state).with_context(in_file)?;
        Ok(Memory::of_session(&mut session, "state")?)
    }

    fn save(&self, memory: &Memory) -> Result<()> {
        files::write_atomically(&self.memory, |w| w.write_all(&memory.to_bytes()))
    }
}

fn learn(files: &Files, texts: &[PathBuf], keys: KeyFormat) -> Result<()> {
    let opened = files.open()?;
    let mut session = opened.session()?;
    let mut memory = if files.memory.exists() {
        if state_file::is_one(&fs::read(&files.memory).with_context(|| format!("cannot read {}", files.memory.display()))?) {
            bail!(
                "{} is a state, to which only `sample --state` adds: give a memory file, or a name that does not exist yet",
                files.memory.display()
            );
        }
        files.read(&opened)?
    } else {
        state_file::require_writable(&files.memory)?;
        Memory::new(&mut session, keys)?
    };
    for path in texts {
        let text = files::read_to_string(path)?;
        let items = memory.learn(&mut session, &path.to_string_lossy(), &text)?;
        // Each document is kept once it is read.
        files.save(&memory)?;
        say(format_args!("learned {}: {items} items", path.display()));
    }
    Ok(())
}

/// A document, as `memory list --json` prints it.
#[derive(Serialize)]
struct Listed<'a> {
    document: &'a str,
    items: usize,
    uses: u64,
}

fn documents(files: &Files, json: bool) -> Result<()> {
    let memory = files.read(&files.open()?)?;
    let mut out = stdout::lock();
    if !json {
        writeln!(out, "{:>9}  {:>9}  document", "items", "uses")?;
    }
    for (document, items) in memory.documents() {
        let uses = memory.uses(document);
        if json {
            serde_json::to_writer(&mut out, &Listed { document, items, uses }).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{items:>9}  {uses:>9}  {document}")?;
        }
    }
    Ok(())
}

fn items(files: &Files, document: &str, json: bool) -> Result<()> {
    let opened = files.open()?;
    let memory = files.read(&opened)?;
    let Some(items) = memory.items(document) else {
        bail!("{} has no document {document:?}; `memory list` prints their names", files.memory.display());
    };
    print(&mut stdout::lock(), items.map(|item| (memory.passage(item, &*opened.loaded.tokenizer), None)), json)
}

fn search(files: &Files, text: Option<&str>, like: Option<&str>, most: usize, json: bool) -> Result<()> {
    let opened = files.open()?;
    let memory = files.read(&opened)?;
    let found: Vec<_> = match (text, like) {
        (_, Some(like)) => {
            let near = memory.nearest(&mut opened.session()?, like, most).context("cannot search for that text")?;
            near.into_iter().map(|(passage, cosine)| (passage, Some(cosine))).collect()
        }
        (Some(""), None) | (None, None) => bail!("an empty text is everywhere: give a text to search for"),
        (Some(text), None) => memory.search(text, &*opened.loaded.tokenizer).into_iter().take(most).map(|p| (p, None)).collect(),
    };
    if found.is_empty() {
        say(format_args!("nothing found"));
    }
    print(&mut stdout::lock(), found, json)
}

fn forget(files: &Files, document: &str) -> Result<()> {
    let opened = files.open()?;
    if state_file::is_one(&fs::read(&files.memory).with_context(|| format!("cannot read {}", files.memory.display()))?) {
        bail!("{} is a state: what its layers remember cannot be taken out; only a memory file forgets", files.memory.display());
    }
    let mut memory = files.read(&opened)?;
    let items = memory.forget(document)?;
    files.save(&memory)?;
    say(format_args!("forgot {document}: {items} items"));
    Ok(())
}

fn export(files: &Files, out: Option<&Path>) -> Result<()> {
    let opened = files.open()?;
    let memory = files.read(&opened)?;
    let all = (0..memory.len()).map(|item| (memory.passage(item, &*opened.loaded.tokenizer), None));
    match out {
        Some(path) => {
            let mut lines = Vec::new();
            print(&mut lines, all, true)?;
            files::write_atomically(path, |w| w.write_all(&lines))
        }
        None => print(&mut stdout::lock(), all, true),
    }
}

/// An item, as JSON.
#[derive(Serialize)]
struct Line<'a> {
    item: usize,
    document: &'a str,
    position: usize,
    before: &'a str,
    token: &'a str,
    uses: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cosine: Option<f32>,
}

fn print(out: &mut dyn Write, items: impl IntoIterator<Item = (Passage, Option<f32>)>, json: bool) -> Result<()> {
    for (passage, cosine) in items {
        let Passage { item, document, position, before, token, uses } = &passage;
        if json {
            let line = Line { item: *item, document, position: *position, before, token, uses: *uses, cosine };
            writeln!(out, "{}", serde_json::to_string(&line).expect("text and numbers are JSON"))?;
        } else {
            let cosine = cosine.map_or(String::new(), |cosine| format!("{cosine:.3}  "));
            writeln!(out, "{item:>7}  {cosine}{document}:{position}  used {uses}  {before:?} -> {token:?}")?;
        }
    }
    Ok(())
}
