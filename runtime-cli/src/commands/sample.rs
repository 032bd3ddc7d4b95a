//! `hh-runtime sample`: text from a checkpoint, as it comes.

use crate::conversation::{self, Conversation};
use crate::files;
use crate::generate::{Begun, write, write_several};
use crate::interrupt::Interrupt;
use crate::loading::Source;
use crate::machine::{BackendJob, Backends, Machine};
use crate::stderr::say;
use anyhow::{Context, Result, bail};
use hh::{Decoder, StopStrings, TextSession};
use hh_core::backend::{Backward, Forward};
use hh_core::config::Positions;
use hh_core::rng;
use hh_core::sample::{Sampler, SamplerConfig};
use hh_core::session::{Options, Session};
use hh_core::tokenizer::Tokenizer;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  hh-runtime sample runs/char-0.8m-1
      the best weights of a run, from a line break on
  hh-runtime sample best.safetensors --prompt 'ROMEO:' --temperature 0.8 --top-k 40 --seed 7
  hh-runtime sample best.safetensors --prompt 'Q: who?' --stop 'Q:' --echo
  hh-runtime sample best.safetensors --prompt 'Once' --state tale && hh-runtime sample best.safetensors --state tale
      the same text as one run of twice the length
  hh-runtime sample best.safetensors --prompt 'Once' --batch 4 --seed 7
      four texts from one prompt, faster together than one after the other

The model reads the prompt and writes what follows. Without a prompt it begins after a line break, or where the \
vocabulary has none, after a token drawn by the seed. The same seed gives the same text on any number of threads.

With --batch N and --seed S, text k of 1 to N has the seed S + k - 1, as the line above it says, and is what a run without \
--batch writes with that seed. (Sums of many numbers side by side may be rounded otherwise than alone: where two tokens are \
all but equally near to be drawn, the other may come.) The first text comes as it is drawn, the others as soon as those before \
them are done; each ends for itself at --stop. A vocabulary's own mark for the end of a text is a text like any other, as in \
--stop '<|endoftext|>'.";

/// Arguments of `sample`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A checkpoint, or the folder of a run, which stands for its best.safetensors
    checkpoint: PathBuf,
    /// The text to go on from
    #[arg(long, value_name = "TEXT", conflicts_with = "prompt_file")]
    prompt: Option<String>,
    /// A UTF-8 file with the text to go on from; - is the standard input
    #[arg(long, value_name = "FILE")]
    prompt_file: Option<PathBuf>,
    /// Write the prompt, too
    #[arg(long)]
    echo: bool,
    /// Tokens to write
    #[arg(long, short = 'n', value_name = "N", default_value_t = 256, allow_negative_numbers = true)]
    tokens: usize,
    /// Texts to write side by side, with the seeds --seed, --seed + 1, and so on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,
    /// End before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// A file with a conversation to go on with, made if it is not there, and saved at the end; Ctrl-C saves, too
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Say on the standard error how long loading took, the first token, and all of them
    #[arg(long)]
    timing: bool,
    /// Say what ids stand for where the checkpoint does not: bytes, bpe:FILE, a tokenizer.json, another checkpoint
    #[arg(long, value_name = "TOKENIZER")]
    tokenizer: Option<String>,
    #[command(flatten)]
    choice: Choice,
    /// Positions that attention and Hopfield memories hold; older ones are forgotten [default: those of training]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=hh::MAX_CONTEXT as i64))]
    context: Option<u32>,
    /// Passes over the blocks for each token: more think longer [default: those of training]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u8).range(1..=16))]
    segments: Option<u8>,
    #[command(flatten)]
    pub(super) machine: Machine,
}

/// How a token is drawn.
#[derive(clap::Args)]
#[command(next_help_heading = "Choice of tokens")]
struct Choice {
    /// Below 1 more likely tokens gain, above 1 unlikely ones; 0 always takes the likeliest
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true)]
    temperature: f32,
    /// Draw among the K likeliest tokens; 0 is off
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Draw among the fewest tokens that have this probability together; 1 is off
    #[arg(long, value_name = "P", default_value_t = 1.0, allow_negative_numbers = true)]
    top_p: f32,
    /// Draw among the tokens at least this fraction as likely as the likeliest; 0 is off
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_negative_numbers = true)]
    min_p: f32,
    /// Make tokens that came lately less likely; 1 is off, 1.1 is gentle
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true)]
    repetition_penalty: f32,
    /// How many of the newest tokens came lately
    #[arg(long, value_name = "N", default_value_t = 64)]
    repetition_window: usize,
    /// Another seed gives another text
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
}

impl Choice {
    /// That of text `k`, from 0 on.
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

/// Samples.
pub fn run(args: Args, backends: &impl Backends, interrupt: Interrupt) -> Result<()> {
    let began = Instant::now();
    args.choice.config(0).validate()?;
    if args.batch > 1 && args.state.is_some() {
        bail!("--state keeps one text and --batch {} writes {0}: leave out one of the two", args.batch);
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
    let earlier = earlier(args, source)?;
    let prompt = prompt(args)?;
    let ids = match &prompt {
        Some(prompt) => tokenizer.encode(prompt).context("the prompt cannot be encoded")?,
        None => Vec::new(),
    };
    let (saved_context, saved_segments) = earlier.as_ref().map(|earlier| (earlier.context, earlier.segments)).unzip();
    let context = args.context.map(|n| n as usize).or(saved_context);
    let segments = args.segments.map(usize::from).or(saved_segments).unwrap_or(loaded.model.config.segments);
    let context = loaded.session_context(context)?;
    let echo = prompt.filter(|_| args.echo).unwrap_or_default();
    let begin = |k| begin(args, k, tokenizer, earlier.as_ref(), &ids, &echo);
    let mut texts = (0..args.batch).map(begin).collect::<Result<Vec<_>>>()?;
    let c = &loaded.model.config;
    let read = earlier.as_ref().map_or(0, |earlier| earlier.snapshot.position());
    let end = read + (texts[0].tokens.len() + args.tokens).saturating_sub(1) as u64;
    if c.positions == Positions::Learned && end > c.max_len as u64 {
        bail!("the text would have {end} positions and this model learned {}: ask for fewer --tokens, or shorten the prompt", c.max_len);
    }
    let mut out = io::stdout().lock();
    // Ctrl-C ends the text after the current token, so that its state is saved.
    let interrupted = (args.state.is_some() || args.batch > 1).then(|| interrupt.listen_quietly()).transpose()?;
    let go_on = || interrupted.as_ref().is_none_or(|flag| !flag.load(Ordering::Relaxed));
    let (ready, written, rest);
    if args.batch > 1 {
        let options = Options { batch: args.batch.into(), context, segments: Some(segments), ..Options::default() };
        let session = Session::new(backend, &loaded.model, options)?;
        ready = Instant::now();
        (written, rest) = (write_several(session, tokenizer, texts, args.tokens, &mut out, &go_on)?, None);
    } else {
        let mut session = TextSession::new(backend, &loaded, Some(context), Some(segments))?;
        let Begun { mut decoder, tokens, before } = texts.remove(0);
        let mut new = &tokens[..];
        if let Some(earlier) = &earlier {
            let state = args.state.as_deref().unwrap_or(Path::new(""));
            let restored = session.restore_parts(&earlier.snapshot, &earlier.pending, &earlier.held);
            restored.with_context(|| format!("cannot use {}", state.display()))?;
            new = &tokens[earlier.pending.len()..];
        }
        session.queue(new);
        ready = Instant::now();
        out.write_all(before.as_bytes())?;
        out.flush()?;
        written = write(&mut session, &mut decoder, args.tokens, &mut out, &go_on)?;
        rest = Some((session, decoder));
    }
    let done = Instant::now();
    if out.is_terminal() && !written.ends_line {
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
    if let (Some(path), Some((session, decoder))) = (&args.state, rest) {
        let origin = conversation::origin(source.header());
        let (snapshot, pending, held) = session.into_parts()?;
        Conversation { origin, context, segments, snapshot, sampler: decoder.sampler().state(), pending, held }.save(path)?;
    }
    Ok(())
}

/// Text `k`, from 0 on, before its first token is drawn.
fn begin(args: &Args, k: u16, tokenizer: &dyn Tokenizer, earlier: Option<&Conversation>, ids: &[u32], echo: &str) -> Result<Begun> {
    let config = args.choice.config(k);
    let mut sampler = Sampler::new(config, tokenizer.vocab_size())?;
    let mut tokens = earlier.map_or(Vec::new(), |earlier| earlier.pending.clone());
    if let Some(earlier) = earlier {
        sampler.restore(&earlier.sampler);
    }
    ids.iter().for_each(|&id| sampler.observe(id));
    tokens.extend(ids);
    if tokens.is_empty() {
        tokens = beginning(tokenizer, config.seed);
    }
    let title = if args.batch > 1 { format!("--- {} of {}, seed {} ---\n", k + 1, args.batch, config.seed) } else { String::new() };
    let decoder = Decoder::new(sampler, StopStrings::new(args.stop.iter().cloned()), tokenizer);
    Ok(Begun { decoder, tokens, before: title + echo })
}

/// The conversation to go on with, if there is one.
fn earlier(args: &Args, source: &Source) -> Result<Option<Conversation>> {
    let Some(path) = &args.state else { return Ok(None) };
    let earlier = Conversation::open(path)?;
    if earlier.as_ref().is_some_and(|earlier| earlier.origin != conversation::origin(source.header())) {
        bail!(
            "{} was saved with another checkpoint than {}: give that one, or another name to --state",
            path.display(),
            source.path().display()
        );
    }
    conversation::require_writable(path)?;
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

/// What a text without a prompt follows: a line break, or where the vocabulary has none, a token drawn by the seed.
fn beginning(tokenizer: &dyn Tokenizer, seed: u64) -> Vec<u32> {
    let line_break = tokenizer.encode("\n").unwrap_or_default();
    if !line_break.is_empty() {
        return line_break;
    }
    let [word, ..] = rng::block([seed as u32, (seed >> 32) as u32, 0, 0], u32::MAX, 0);
    vec![((u64::from(word) * tokenizer.vocab_size() as u64) >> 32) as u32]
}
