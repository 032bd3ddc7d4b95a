//! A text that a model is in the middle of, as a file: what `sample --state` keeps so that going on equals never stopping.
//!
//! Little-endian: `HHTALK01`, SHA-256 of the checkpoint's header (32 bytes), context u32, segments u32, draws u64, recent ids (count u32, then u32
//! each), pending ids (likewise), held bytes (count u32, then the bytes), the session's snapshot (length u64, then its bytes),
//! and the SHA-256 of all that came before.

use crate::files;
use anyhow::{Context, Result, anyhow, bail};
use hh_core::sample::SamplerState;
use hh_core::state::Snapshot;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

const MAGIC: &[u8; 8] = b"HHTALK01";
const DIGEST: usize = 32;

/// Everything that the next token depends on, beside the checkpoint.
#[derive(Clone, PartialEq, Debug)]
pub struct Conversation {
    /// SHA-256 of the header of the checkpoint that it belongs to: configuration, tokenizer, training step.
    pub origin: [u8; DIGEST],
    /// Positions that the session's memories hold.
    pub context: usize,
    /// Passes over the blocks.
    pub segments: usize,
    /// What the model remembers of the tokens that it has run.
    pub snapshot: Snapshot,
    /// What the sampler remembers.
    pub sampler: SamplerState,
    /// Tokens that belong to the text and that the model has not run yet; after a sample, the last one drawn.
    pub pending: Vec<u32>,
    /// Bytes of a character whose rest is not drawn yet.
    pub held: Vec<u8>,
}

/// What tells a checkpoint from another, given its [header](crate::loading::Source::header).
pub fn origin(header: &[u8]) -> [u8; DIGEST] {
    Sha256::digest(header).into()
}

/// Whether a file's bytes begin like a conversation.
pub fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

impl Conversation {
    /// The bytes of its file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(self.origin);
        for n in [self.context, self.segments] {
            out.extend((n as u32).to_le_bytes());
        }
        out.extend(self.sampler.draws.to_le_bytes());
        for ids in [&self.sampler.recent, &self.pending] {
            out.extend((ids.len() as u32).to_le_bytes());
            out.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
        }
        out.extend((self.held.len() as u32).to_le_bytes());
        out.extend(&self.held);
        let snapshot = self.snapshot.to_bytes();
        out.extend((snapshot.len() as u64).to_le_bytes());
        out.extend(snapshot);
        let digest: [u8; DIGEST] = Sha256::digest(&out).into();
        out.extend(digest);
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. Memory is in proportion to the bytes, whatever they claim.
    ///
    /// # Errors
    /// One sentence for bytes that are something else, cut short or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if !bytes.starts_with(MAGIC) {
            bail!("it is no state that `sample --state` saved; give another file, or a name that does not exist yet");
        }
        let damaged = || anyhow!("it is cut short or damaged; delete it, or give another");
        let (body, digest) = bytes.split_last_chunk::<DIGEST>().ok_or_else(damaged)?;
        if Sha256::digest(body)[..] != digest[..] {
            return Err(damaged());
        }
        let mut fields = Fields(&body[MAGIC.len()..]);
        let origin = *fields.array().ok_or_else(damaged)?;
        let layout = fields.count().zip(fields.count());
        let (context, segments) = layout.filter(|n| (1..=hh::MAX_CONTEXT).contains(&n.0) && (1..=16).contains(&n.1)).ok_or_else(damaged)?;
        let draws = u64::from_le_bytes(*fields.array().ok_or_else(damaged)?);
        let recent = fields.ids().ok_or_else(damaged)?;
        let pending = fields.ids().ok_or_else(damaged)?;
        let held = fields.count().and_then(|n| fields.bytes(n)).ok_or_else(damaged)?.to_vec();
        let length = usize::try_from(u64::from_le_bytes(*fields.array().ok_or_else(damaged)?)).map_err(|_| damaged())?;
        let snapshot = fields.bytes(length).ok_or_else(damaged)?;
        if !fields.0.is_empty() || held.len() > 3 {
            return Err(damaged());
        }
        Ok(Self {
            origin,
            context,
            segments,
            snapshot: Snapshot::from_bytes(snapshot)?,
            sampler: SamplerState { draws, recent },
            pending,
            held,
        })
    }

    /// Opens a file that [`save`](Self::save) wrote; `None` where there is none yet.
    ///
    /// # Errors
    /// One sentence for a file that cannot be read, and those of [`from_bytes`](Self::from_bytes).
    pub fn open(path: &Path) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        // Asked before reading: a pipe or a device may have no end.
        if !path.is_file() {
            bail!("cannot use {} as a state: it is no regular file; give a file's name", path.display());
        }
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::from_bytes(&bytes).map(Some).with_context(|| format!("cannot use {}", path.display()))
    }

    /// Writes the file whole or not at all.
    ///
    /// # Errors
    /// One sentence for a place that cannot be written to.
    pub fn save(&self, path: &Path) -> Result<()> {
        files::write_atomically(path, |w| w.write_all(&self.to_bytes()))
    }
}

/// Says before the work what [`Conversation::save`] would say after it.
///
/// # Errors
/// One sentence for a place that cannot be written to.
pub fn require_writable(path: &Path) -> Result<()> {
    let probe = files::unfinished_in(&files::folder_of(path));
    probe.map(drop).map_err(|e| anyhow!("cannot write {}: {}", path.display(), files::remedy(&e)))
}

/// Bytes yet to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (now, later) = self.0.split_at_checked(n)?;
        self.0 = later;
        Some(now)
    }

    fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn count(&mut self) -> Option<usize> {
        Some(u32::from_le_bytes(*self.array()?) as usize)
    }

    fn ids(&mut self) -> Option<Vec<u32>> {
        let n = self.count()?;
        let bytes = self.bytes(n.checked_mul(4)?)?;
        Some(bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hh_core::presets::preset;
    use hh_core::{model::Model, session::Options, session::Session};
    use hh_cpu::{Cpu, Threads};

    fn conversation() -> Conversation {
        let mut config = preset("char-0.8m").unwrap();
        (config.layers, config.hopfield_depths) = (1, vec![2]);
        for widths in [&mut config.ssm_width, &mut config.hopfield_width, &mut config.attention_width] {
            widths.truncate(1);
        }
        let mut backend = Cpu::<f32>::new(Threads::one());
        let model = Model::init(&mut backend, config, 1).unwrap();
        let mut session = Session::new(backend, &model, Options { context: 8, ..Options::default() }).unwrap();
        session.prefill(&[1, 2, 3]).unwrap();
        Conversation {
            origin: origin(b"header"),
            context: 8,
            segments: 1,
            snapshot: session.snapshot().unwrap(),
            sampler: SamplerState { draws: 7, recent: vec![3, 1] },
            pending: vec![64],
            held: vec![0xe2, 0x82],
        }
    }

    #[test]
    fn a_conversation_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("talk");
        assert_eq!(Conversation::open(&path).unwrap(), None);
        let there = conversation();
        there.save(&path).unwrap();
        assert_eq!(Conversation::open(&path).unwrap(), Some(there));
    }

    #[test]
    fn damage_anywhere_is_found() {
        let bytes = conversation().to_bytes();
        for cut in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
            assert!(Conversation::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in (0..bytes.len()).step_by(131) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(Conversation::from_bytes(&damaged).is_err(), "byte {at}");
        }
        let grown = [&bytes[..], b"\0"].concat();
        assert!(Conversation::from_bytes(&grown).unwrap_err().to_string().contains("damaged"));
        assert!(Conversation::from_bytes(b"a letter").unwrap_err().to_string().contains("no state"));
    }

    #[test]
    fn a_length_that_lies_is_refused_whatever_the_checksum() {
        let bytes = conversation().to_bytes();
        for at in [56, 68, 76, 82] {
            let mut body = bytes[..bytes.len() - DIGEST].to_vec();
            body[at..at + 4].fill(0xff);
            let digest: [u8; DIGEST] = Sha256::digest(&body).into();
            body.extend(digest);
            assert!(Conversation::from_bytes(&body).is_err(), "length at {at}");
        }
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        require_writable(&folder.path().join("talk")).unwrap();
        let error = require_writable(&folder.path().join("none/talk")).unwrap_err().to_string();
        assert!(error.contains("its folder does not exist"), "{error}");
    }
}
