//! `hh-runtime tokenize`: writes a text of any size as shards of token ids.

use super::text::TextArgs;
use crate::data::shard::{SHARD_TOKENS, ShardWriter};
use crate::progress::Bar;
use crate::stdout;
use crate::{loading, tokenizers};
use anyhow::{Result, bail};
use hh_core::tokenizer::Tokenizer;
use std::io::Write;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  hh-runtime tokenize --data wiki.train.tokens --tokenizer words --out shards/train
  hh-runtime tokenize --data wiki.valid.tokens --tokenizer shards/train --out shards/valid
      with the vocabulary of the training shards
  hh-runtime tokenize --data web-*.jsonl.zst --tokenizer bpe:gpt2/vocab.bpe --out shards/web
  hh-runtime tokenize --data book.txt --tokenizer bpe-train:4096 --show 40
      only print the first 40 tokens

The text is streamed: neither it nor its ids need to fit into memory. The output folder is renamed into place when it is \
complete; `train --data DIR` maps it into memory. It contains the tokenizer as tokenizer.json.";

/// Arguments of `tokenize`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    text: TextArgs,
    /// bytes, chars, words[:MAX], bpe:FILE or bpe-train:N; or an existing one: a tokenizer.json, a checkpoint, a folder of shards
    #[arg(long, value_name = "TOKENIZER", default_value = "chars")]
    tokenizer: String,
    /// Output folder, must be empty or absent
    #[arg(long, value_name = "DIR", required_unless_present = "show")]
    out: Option<PathBuf>,
    /// Tokens per shard
    #[arg(long, value_name = "N", default_value_t = SHARD_TOKENS)]
    shard_tokens: u64,
    /// Print the first N tokens with their ids
    #[arg(long, value_name = "N")]
    show: Option<usize>,
}

/// Tokenizes a text.
///
/// # Errors
/// An unreadable text, an invalid tokenizer, text outside its vocabulary, or an output folder that cannot be written.
pub fn run(args: Args) -> Result<()> {
    if let Some(folder) = args.text.data.iter().find(|path| path.is_dir()) {
        bail!("cannot read {}: it is a folder; give text files", folder.display());
    }
    let bar = Bar::spinner("{spinner} {msg} {human_pos} tokens  {elapsed}");
    bar.set_message("reading the vocabulary:");
    let tokenizer = tokenizer(&args)?;
    bar.set_message("encoding:");

    let mut writer = args.out.as_deref().map(|out| ShardWriter::create(out, &*tokenizer, args.shard_tokens)).transpose()?;
    let (mut first, show) = (Vec::new(), args.show.unwrap_or(0));
    for ids in args.text.ids(&*tokenizer)? {
        let ids = ids?;
        first.extend(ids.iter().take(show - first.len()));
        bar.add(ids.len() as u64);
        match &mut writer {
            Some(writer) => writer.push(&ids)?,
            None if first.len() == show => break,
            None => {}
        }
    }
    bar.finish();
    let mut out = stdout::lock();
    for (i, &id) in first.iter().enumerate() {
        let text = String::from_utf8_lossy(tokenizer.token_bytes(id).unwrap_or_default());
        write!(out, "{}{text:?}:{id}", if i == 0 { "" } else { " " })?;
    }
    if !first.is_empty() {
        writeln!(out)?;
    }
    if let (Some(writer), Some(folder)) = (writer, &args.out) {
        let tokens = writer.finish()?;
        writeln!(out, "{}: {tokens} tokens, vocabulary {}", folder.display(), tokenizer.vocab_size())?;
        if let Some(bytes) = args.text.file_bytes() {
            writeln!(out, "{:.2} file bytes per token", bytes as f64 / tokens as f64)?;
        }
    }
    Ok(())
}

/// An existing tokenizer, or one built from the text.
fn tokenizer(args: &Args) -> Result<Box<dyn Tokenizer>> {
    match tokenizers::parse_spec(&args.tokenizer) {
        Ok(spec) if spec.learns() => spec.build(args.text.texts()?),
        Ok(spec) => spec.build(std::iter::empty()),
        Err(_) => loading::tokenizer(&args.tokenizer),
    }
}
