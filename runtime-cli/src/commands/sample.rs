//! `hh-runtime sample`: generates text from a checkpoint, streaming it to the standard output.

use crate::files;
use crate::generate::{Begun, write_each, write_several};
use crate::interrupt::Interrupt;
use crate::loading::Source;
use crate::machine::{BackendJob, Backends, Machine};
use crate::state_file;
use crate::stderr::say;
use crate::stdout;
use anyhow::{Context, Result, bail};
use hh::{Decoder, GenerateOptions, Memory, RECENT, StopStrings, TextSession, TextState};
use hh_core::backend::{Backward, Forward};
use hh_core::config::Positions;
use hh_core::rng;
use hh_core::sample::{Sampler, SamplerConfig};
use hh_core::session::{EPISODES, Episode, Options, Session};
use hh_core::tokenizer::{Tokenizer, decode};
use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  hh-runtime sample runs/char-0.8m-1
      the best weights of a run, starting after a line break
  hh-runtime sample best.safetensors --prompt 'ROMEO:' --temperature 0.8 --top-k 40 --seed 7
  hh-runtime sample best.safetensors --prompt 'Q: who?' --stop 'Q:' --echo
  hh-runtime sample best.safetensors --prompt 'Once' --state tale && hh-runtime sample best.safetensors --state tale
      the same text as a single run of twice the length
  hh-runtime sample best.safetensors --prompt 'Once' --batch 4 --seed 7
      four texts from one prompt in one batch

The model continues the prompt. Without a prompt it continues a line break, or, where the vocabulary has none, a token drawn \
from the seed. The same seed gives the same text on any number of threads.

With --batch N and --seed S, text k of 1 to N has the seed S + k - 1, as printed above it, and equals that of a run without \
--batch with that seed. (Floating-point sums may round differently in a batch; where two tokens are almost equally likely to \
be drawn, the texts may differ.) The first text is printed while it is generated, each other text when those before it are \
complete; each stops at --stop on its own. A special token of the vocabulary works as a stop text, as in \
--stop '<|endoftext|>'.";

/// Arguments of `sample`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A checkpoint, a run folder (its best.safetensors is used), a Hugging Face folder, or hf://owner/name of the Hub
    checkpoint: PathBuf,
    /// Prompt to continue
    #[arg(long, value_name = "TEXT", conflicts_with = "prompt_file")]
    prompt: Option<String>,
    /// UTF-8 file with the prompt; - is the standard input
    #[arg(long, value_name = "FILE")]
    prompt_file: Option<PathBuf>,
    /// Print the prompt before the generated text
    #[arg(long)]
    echo: bool,
    /// Tokens to generate
    #[arg(long, short = 'n', value_name = "N", default_value_t = 256, allow_negative_numbers = true)]
    tokens: usize,
    /// Texts to generate in one batch, with the seeds --seed, --seed + 1, and so on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,
    /// Stop before this text; may be repeated
    #[arg(long, value_name = "TEXT", value_parser = stop_text)]
    stop: Vec<String>,
    /// State file: continue the text in it if it exists, and save the state at the end or on Ctrl-C
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Memory file of `memory learn`: the model looks up its items, and how often each was used is counted in it
    #[arg(long, value_name = "FILE", conflicts_with = "state")]
    memory: Option<PathBuf>,
    /// Print to the standard error, for each token, the passage of the episodic memory that spoke for it most
    #[arg(long)]
    votes: bool,
    /// Print loading time, time to the first token and tokens per second to the standard error
    #[arg(long)]
    timing: bool,
    /// Tokenizer, for a checkpoint without one: bytes, bpe:FILE, a tokenizer.json, another checkpoint
    #[arg(long, value_name = "TOKENIZER")]
    tokenizer: Option<String>,
    #[command(flatten)]
    sampling: Sampling,
    /// Positions kept by attention and Hopfield memories; older ones are dropped [default: the training context]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=hh::MAX_CONTEXT as i64))]
    context: Option<u32>,
    /// Passes over the blocks per token [default: the model's]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u8).range(1..=16))]
    segments: Option<u8>,
    #[command(flatten)]
    pub(super) machine: Machine,
}

fn stop_text(text: &str) -> Result<String, String> {
    if text.is_empty() {
        Err("a stop text has at least one character; leave out --stop to stop at --tokens".into())
    } else {
        Ok(text.into())
    }
}

/// Sampling parameters.
#[derive(clap::Args)]
#[command(next_help_heading = "Sampling")]
struct Sampling {
    /// Sampling temperature: below 1 sharpens the distribution, above 1 flattens it; 0 is greedy decoding
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true)]
    temperature: f32,
    /// Sample from the K most likely tokens; 0 is off
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Nucleus sampling: sample from the smallest set of tokens with total probability P; 1 is off
    #[arg(long, value_name = "P", default_value_t = 1.0, allow_negative_numbers = true)]
    top_p: f32,
    /// Sample from tokens at least P times as likely as the most likely one; 0 is off
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_negative_numbers = true)]
    min_p: f32,
    /// Penalise tokens that occurred recently; 1 is off, 1.1 is mild
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true)]
    repetition_penalty: f32,
    /// Number of recent tokens that the penalty applies to
    #[arg(long, value_name = "N", default_value_t = 64)]
    repetition_window: usize,
    /// Random seed
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
}

impl Sampling {
    /// The configuration for text `k`, counted from 0.
    fn config(&self, k: u16) -> SamplerConfig {
        SamplerConfig {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            repetition_window: self.repetition_window,
            seed: self.seed.wrapping_add(u64::from(k)),
        }
    }
}

/// Generates text.
///
/// # Errors
/// Invalid options, checkpoint, prompt or state file, a device that is unavailable or fails, or output that cannot be written.
pub fn run(args: Args, backends: &impl Backends, interrupt: Interrupt) -> Result<()> {
    let began = Instant::now();
    args.sampling.config(0).validate()?;
    if args.batch > 1 && args.state.is_some() {
        bail!("--state supports one text, but --batch {} generates several: leave out one of the two", args.batch);
    }
    if args.batch > 1 && (args.memory.is_some() || args.votes) {
        bail!("--memory and --votes are for one text, but --batch {} generates several: leave out one of the two", args.batch);
    }
    let penalised = args.sampling.repetition_penalty != 1.0;
    if args.state.is_some() && penalised && args.sampling.repetition_window > RECENT {
        bail!("a state keeps the newest {RECENT} tokens: give --repetition-window {RECENT} or less with --state");
    }
    let source = Source::open(&args.checkpoint)?;
    backends.run(&args.machine, Job { args: &args, source: &source, interrupt, began })
}

struct Job<'a> {
    args: &'a Args,
    source: &'a Source,
    interrupt: Interrupt,
    began: Instant,
}

impl BackendJob for Job<'_> {
    type Output = ();

    fn on<B: Backward>(self, make: impl Fn() -> Result<B>) -> Result<()> {
        on(make()?, &self)
    }
}

fn on<B: Forward>(mut backend: B, job: &Job<'_>) -> Result<()> {
    let Job { args, source, interrupt, began } = *job;
    let loaded = source.load(&mut backend, args.tokenizer.as_deref())?;
    let tokenizer = &*loaded.tokenizer;
    let earlier = earlier(args)?;
    let prompt = prompt(args)?;
    let ids = match &prompt {
        Some(prompt) => tokenizer.encode(prompt).context("the prompt cannot be encoded")?,
        None => Vec::new(),
    };
    let (saved_context, saved_segments) = earlier.as_ref().map(|earlier| (earlier.state.context(), earlier.state.segments())).unzip();
    let context = args.context.map(|n| n as usize).or(saved_context);
    let segments = args.segments.map(usize::from).or(saved_segments).unwrap_or(loaded.model.config.segments);
    let context = loaded.session_context(context)?;
    let echo = prompt.filter(|_| args.echo).unwrap_or_default();
    // A text begins with something to continue.
    let first = |k| if ids.is_empty() { beginning(tokenizer, args.sampling.config(k).seed) } else { ids.clone() };
    let new = if earlier.is_some() { ids.clone() } else { first(0) };
    let c = &loaded.model.config;
    let read = earlier.as_ref().map_or(0, TextState::position);
    let end = read.saturating_add(new.len().saturating_add(args.tokens).saturating_sub(1) as u64);
    if c.positions == Positions::Learned && end > c.max_len as u64 {
        bail!(
            "the text would have {end} positions, but this model has learned positions for {}: reduce --tokens or shorten the prompt",
            c.max_len
        );
    }
    let mut out = stdout::lock();
    // Ctrl-C ends generation after the current token, so that the state can be saved.
    let interrupted = (args.state.is_some() || args.batch > 1).then(|| interrupt.listen_quietly()).transpose()?;
    let go_on = || interrupted.as_ref().is_none_or(|flag| !flag.load(Ordering::Relaxed));
    let (ready, written, rest);
    if args.batch > 1 {
        let options = Options { batch: args.batch.into(), context, segments: Some(segments), ..Options::default() };
        let session = Session::new(backend, &loaded.model, options)?;
        let texts = (0..args.batch).map(|k| begin(args, k, tokenizer, first(k), &echo)).collect::<Result<_>>()?;
        ready = Instant::now();
        (written, rest) = (write_several(session, tokenizer, texts, args.tokens, &mut out, &go_on)?, None);
    } else {
        let mut memory = args.memory.as_deref().map(memory).transpose()?;
        // Room for the documents, and for as many items of the text as there are without them.
        let episodes = memory.as_ref().map(|memory| memory.len() + EPISODES);
        let mut session = TextSession::with_episodes(backend, &loaded, Some(context), Some(segments), episodes)?;
        if let (Some(memory), Some(path)) = (&memory, &args.memory) {
            session.remember(memory).with_context(|| format!("cannot use {}", path.display()))?;
        }
        if args.votes && loaded.model.config.episodic_width == 0 {
            bail!("--votes needs a model with an episodic memory; give it one with train --from CHECKPOINT --only episodic");
        }
        if let (Some(earlier), Some(path)) = (&earlier, &args.state) {
            session.restore(earlier).with_context(|| format!("cannot use {} with {}", path.display(), source.path().display()))?;
        }
        session.queue(&new);
        let options = GenerateOptions { sampler: args.sampling.config(0), stop: args.stop.clone(), ..GenerateOptions::default() };
        let mut decoder = session.decoder(&options)?;
        ready = Instant::now();
        out.write_all(echo.as_bytes())?;
        out.flush()?;
        let asks = memory.is_some() || args.votes;
        written = write_each(&mut session, &mut decoder, args.tokens, &mut out, &go_on, |session, piece| {
            if asks {
                let votes = session.votes(1)?;
                if let Some(memory) = &mut memory {
                    memory.record(&votes);
                }
                if let (true, Some(best)) = (args.votes, votes.first()) {
                    vote(memory.as_ref(), tokenizer, piece.token, best);
                }
            }
            Ok(())
        })?;
        if let (Some(memory), Some(path)) = (&memory, &args.memory) {
            files::write_atomically(path, |w| w.write_all(&memory.to_bytes()))?;
        }
        rest = Some(session);
    }
    let done = Instant::now();
    if io::stdout().is_terminal() && !written.ends_line {
        writeln!(out)?;
    }
    if args.timing {
        let ms = |from: Instant, to: Instant| (to - from).as_secs_f64() * 1e3;
        let first = written.first.unwrap_or(done);
        let rate = written.tokens.saturating_sub(args.batch.into()) as f64 / (done - first).as_secs_f64().max(1e-9);
        say(format_args!(
            "loaded in {:.1} ms, first token {:.1} ms later, then {rate:.0} tokens/s ({} tokens)",
            ms(began, ready),
            ms(ready, first),
            written.tokens
        ));
    }
    if let (Some(path), Some(mut session)) = (&args.state, rest) {
        state_file::save(&session.snapshot()?, path)?;
    }
    Ok(())
}

/// Text `k` of several, counted from 0, before its first token is sampled.
fn begin(args: &Args, k: u16, tokenizer: &dyn Tokenizer, tokens: Vec<u32>, echo: &str) -> Result<Begun> {
    let config = args.sampling.config(k);
    let mut sampler = Sampler::new(config, tokenizer.vocab_size())?;
    tokens.iter().for_each(|&id| sampler.observe(id));
    let decoder = Decoder::new(sampler, StopStrings::new(args.stop.iter().cloned()), tokenizer);
    let before = format!("--- {} of {}, seed {} ---\n{echo}", k + 1, args.batch, config.seed);
    Ok(Begun { decoder, tokens, before })
}

/// The memory in a file.
fn memory(path: &Path) -> Result<Memory> {
    state_file::require_writable(path)?;
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Memory::from_bytes(&bytes).with_context(|| format!("cannot use {}", path.display()))
}

/// Prints which passage spoke for a token.
fn vote(memory: Option<&Memory>, tokenizer: &dyn Tokenizer, token: u32, best: &Episode) {
    let text = |id| decode(tokenizer, &[id]);
    let item = usize::try_from(best.index).unwrap_or(usize::MAX);
    let source = match memory.filter(|memory| item < memory.len()) {
        Some(memory) => {
            let passage = memory.passage(item, tokenizer);
            format!("{}:{} {:?}", passage.document, passage.position, passage.before)
        }
        None => format!("item {}", item - memory.map_or(0, Memory::len)),
    };
    say(format_args!("{:?}: {:.2} for {:?} from {source}", text(token), best.weight, text(best.token)));
}

/// The saved text to continue, if there is one.
fn earlier(args: &Args) -> Result<Option<TextState>> {
    let Some(path) = &args.state else { return Ok(None) };
    let earlier = state_file::open(path)?;
    state_file::require_writable(path)?;
    Ok(earlier)
}

fn prompt(args: &Args) -> Result<Option<String>> {
    let Some(path) = &args.prompt_file else { return Ok(args.prompt.clone()) };
    if path.as_os_str() != "-" {
        return files::read_to_string(path).map(Some);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).context("cannot read the prompt from the standard input")?;
    Ok(Some(text))
}

/// The prompt of a text without one: a line break, or, where the vocabulary has none, a token drawn from the seed.
fn beginning(tokenizer: &dyn Tokenizer, seed: u64) -> Vec<u32> {
    let line_break = tokenizer.encode("\n").unwrap_or_default();
    if !line_break.is_empty() {
        return line_break;
    }
    let [word, ..] = rng::block([seed as u32, (seed >> 32) as u32, 0, 0], u32::MAX, 0);
    vec![((u64::from(word) * tokenizer.vocab_size() as u64) >> 32) as u32]
}
