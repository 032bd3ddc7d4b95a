use super::header::{HEADER_BYTES, Header, VERSION, parse_header};
use super::{MANIFEST, Manifest, TOKENIZER};
use crate::files;
use anyhow::{Context, Result, bail};
use hh_core::tokenizer::Tokenizer;
use memmap2::Mmap;
use sha2::{Digest, Sha256};
use std::path::{Component, Path, PathBuf};

/// The ids of one shard, mapped into memory.
pub(in crate::data) struct Mapping {
    pub(in crate::data) header: Header,
    map: Mmap,
}

impl Mapping {
    fn open(path: &Path) -> Result<Self> {
        let map = files::map(path)?;
        let header = parse_header(&map).with_context(|| format!("cannot use {}", path.display()))?;
        if map.len() as u64 != header.file_bytes() {
            bail!(
                "{} has {} bytes where its {} ids need {}: it is cut off or damaged; write the shards again",
                path.display(),
                map.len(),
                header.count,
                header.file_bytes()
            );
        }
        Ok(Self { header, map })
    }

    /// The packed ids.
    pub(in crate::data) fn ids(&self) -> &[u8] {
        &self.map[HEADER_BYTES..]
    }
}

/// A folder of shards, all memory-mapped, with verified headers.
///
/// The ids are checked against the vocabulary when they are read (see [`TokenStream`](crate::data::TokenStream)): files can
/// change while they are open, and opening should not read a hundred gigabytes.
pub struct ShardFolder {
    path: PathBuf,
    tokenizer: Box<dyn Tokenizer>,
    pub(in crate::data) mappings: Vec<Mapping>,
}

impl ShardFolder {
    /// Whether a path is a folder of shards rather than a text.
    pub fn is_at(path: &Path) -> bool {
        path.join(MANIFEST).is_file()
    }

    /// Opens a folder of shards.
    ///
    /// # Errors
    /// A folder without a manifest, or a shard that is missing, cut off, damaged, of another version or of another tokenizer.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() && !Self::is_at(path) {
            bail!("{} is not a folder of shards: it has no {MANIFEST}; write one with `hh-runtime tokenize`", path.display());
        }
        let json = files::read_to_string(&path.join(MANIFEST))?;
        let unreadable = || format!("{} is not readable; write the shards again", path.join(MANIFEST).display());
        let manifest: Manifest = serde_json::from_str(&json).with_context(unreadable)?;
        if manifest.version != VERSION {
            bail!("{} has shards of version {}; supported is version {VERSION}", path.display(), manifest.version);
        }
        let description = files::read_to_string(&path.join(TOKENIZER))?;
        let fingerprint: [u8; 32] = Sha256::digest(&description).into();
        let tokenizer = hh::tokenizer::from_json(&description).with_context(|| format!("cannot use {}", path.join(TOKENIZER).display()))?;
        let mut mappings = Vec::with_capacity(manifest.shards.len());
        for entry in &manifest.shards {
            // An untrusted manifest must not read files outside of the folder.
            if !matches!(Path::new(&entry.file).components().collect::<Vec<_>>()[..], [Component::Normal(_)]) {
                bail!("{} lists {:?}, which is not a file of the folder", path.join(MANIFEST).display(), entry.file);
            }
            let file = path.join(&entry.file);
            let mapping = Mapping::open(&file)?;
            let header = &mapping.header;
            if header.tokenizer != fingerprint || header.vocab_size != tokenizer.vocab_size() as u64 {
                bail!(
                    "{} was written with another tokenizer than {}; write the shards again",
                    file.display(),
                    path.join(TOKENIZER).display()
                );
            }
            if header.count != entry.tokens {
                bail!(
                    "{} has {} ids instead of the {} of the manifest; write the shards again",
                    file.display(),
                    header.count,
                    entry.tokens
                );
            }
            mappings.push(mapping);
        }
        if mappings.is_empty() {
            bail!("{} lists no shards; write them again", path.join(MANIFEST).display());
        }
        Ok(Self { path: path.to_owned(), tokenizer, mappings })
    }

    /// The tokenizer that the shards were written with.
    pub fn tokenizer(&self) -> &dyn Tokenizer {
        &*self.tokenizer
    }

    /// The same, by value.
    pub fn into_tokenizer(self) -> Box<dyn Tokenizer> {
        self.tokenizer
    }

    /// Checks that the shards were written with this tokenizer.
    ///
    /// # Errors
    /// Another tokenizer.
    pub fn require(&self, tokenizer: &dyn Tokenizer) -> Result<()> {
        if self.tokenizer.to_json() != tokenizer.to_json() {
            bail!(
                "the shards in {} were written with another tokenizer (vocabulary {}) than the needed one ({}); write them with that one",
                self.path.display(),
                self.tokenizer.vocab_size(),
                tokenizer.vocab_size()
            );
        }
        Ok(())
    }
}
