use super::header::{HEADER_BYTES, Header, VERSION, Width};
use super::{Entry, MANIFEST, Manifest, TOKENIZER};
use crate::files;
use anyhow::{Result, anyhow, bail};
use hh_core::tokenizer::Tokenizer;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Writes a folder of shards in constant memory.
///
/// Everything is written to a temporary folder next to the output, which is renamed in [`finish`](Self::finish), or deleted if
/// the writer is dropped before; if the process is killed, by the next writer there.
pub struct ShardWriter {
    unfinished: tempfile::TempDir,
    _lock: Option<File>,
    folder: PathBuf,
    header: Header,
    shard_tokens: u64,
    open: Option<BufWriter<File>>,
    entries: Vec<Entry>,
    packed: Vec<u8>,
}

impl ShardWriter {
    /// Starts a folder of shards with at most `shard_tokens` ids each.
    ///
    /// # Errors
    /// An output folder that is not empty or whose parent cannot be written, or a `shard_tokens` of 0.
    pub fn create(folder: &Path, tokenizer: &dyn Tokenizer, shard_tokens: u64) -> Result<Self> {
        if shard_tokens == 0 {
            bail!("--shard-tokens is 0; it must be at least 1");
        }
        if folder.is_file() {
            bail!("{} is a file; write the shards to another folder", folder.display());
        }
        if fs::read_dir(folder).is_ok_and(|mut content| content.next().is_some()) {
            bail!("{} exists and is not empty; delete it, or write the shards to another folder", folder.display());
        }
        let parent = files::folder_of(folder);
        files::make_folder(&parent)?;
        files::remove_stale(&parent);
        let (unfinished, lock) =
            files::unfinished_folder_in(&parent).map_err(|e| anyhow!("cannot write to {}: {}", parent.display(), files::remedy(&e)))?;
        let json = tokenizer.to_json();
        let this = Self {
            folder: folder.to_owned(),
            header: Header {
                width: Width::of(tokenizer.vocab_size()),
                count: 0,
                vocab_size: tokenizer.vocab_size() as u64,
                tokenizer: Sha256::digest(&json).into(),
            },
            shard_tokens,
            open: None,
            entries: Vec::new(),
            packed: Vec::new(),
            unfinished,
            _lock: lock,
        };
        this.checked(fs::write(this.unfinished.path().join(TOKENIZER), json))?;
        Ok(this)
    }

    /// Appends ids.
    ///
    /// # Errors
    /// A file that cannot be written, or an id outside of the vocabulary.
    pub fn push(&mut self, mut ids: &[u32]) -> Result<()> {
        if let Some(id) = ids.iter().find(|&&id| u64::from(id) >= self.header.vocab_size) {
            bail!("the tokenizer returned id {id}, but its vocabulary has {} entries; it is damaged", self.header.vocab_size);
        }
        while !ids.is_empty() {
            let written = self.write(&mut ids);
            self.checked(written)?;
        }
        Ok(())
    }

    fn write(&mut self, ids: &mut &[u32]) -> io::Result<()> {
        let Some(open) = &mut self.open else {
            let file = format!("shard-{:05}.ids", self.entries.len());
            let mut open = BufWriter::with_capacity(1 << 20, File::create_new(self.unfinished.path().join(&file))?);
            open.write_all(&[0; HEADER_BYTES])?;
            self.entries.push(Entry { file, tokens: 0 });
            self.open = Some(open);
            return Ok(());
        };
        let entry = self.entries.last_mut().expect("an open shard has its entry");
        let count = (self.shard_tokens - entry.tokens).min(ids.len() as u64);
        let (now, later) = ids.split_at(count as usize);
        self.packed.clear();
        self.header.width.pack(now, &mut self.packed);
        open.write_all(&self.packed)?;
        entry.tokens += count;
        *ids = later;
        if entry.tokens == self.shard_tokens { self.close() } else { Ok(()) }
    }

    /// Writes the header of the open shard, now that its length is known.
    fn close(&mut self) -> io::Result<()> {
        let (Some(open), Some(entry)) = (self.open.take(), self.entries.last()) else { return Ok(()) };
        let mut file = open.into_inner().map_err(|e| e.into_error())?;
        file.seek(SeekFrom::Start(0))?;
        self.header.count = entry.tokens;
        file.write_all(&self.header.to_bytes())?;
        file.sync_all()
    }

    /// Number of ids written so far.
    pub fn tokens(&self) -> u64 {
        self.entries.iter().map(|entry| entry.tokens).sum()
    }

    /// Closes the last shard, writes the manifest and renames the folder. Returns the number of ids.
    ///
    /// # Errors
    /// A file that cannot be written, or a text without tokens.
    pub fn finish(mut self) -> Result<u64> {
        let tokens = self.tokens();
        if tokens == 0 {
            bail!("the text has no tokens; nothing was written to {}", self.folder.display());
        }
        let closed = self.close();
        self.checked(closed)?;
        let manifest =
            Manifest { version: VERSION, vocab_size: self.header.vocab_size as usize, tokens, shards: std::mem::take(&mut self.entries) };
        let path = self.unfinished.path();
        files::write_atomically(&path.join(MANIFEST), |w| Ok(serde_json::to_writer_pretty(w, &manifest)?))?;
        self.checked(files::sync_folder(path))?;
        self.checked(fs::rename(path, &self.folder))?;
        self.checked(files::sync_folder(&files::folder_of(&self.folder)))?;
        Ok(tokens)
    }

    fn checked<T>(&self, result: io::Result<T>) -> Result<T> {
        result.map_err(|e| anyhow!("cannot write shards to {}: {}", self.folder.display(), files::remedy(&e)))
    }
}
