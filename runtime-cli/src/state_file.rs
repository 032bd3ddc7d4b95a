//! The file of `sample --state`: a [`TextState`], with which going on equals never stopping.
//!
//! What earlier versions wrote is read as well. Little-endian: `HHTALK01`, SHA-256 of the checkpoint's header (32 bytes), context
//! u32, segments u32, draws u64, recent ids (count u32, then u32 each), pending ids (likewise), held bytes (count u32, then the
//! bytes), the session's snapshot (length u64, then its bytes), and the SHA-256 of all that came before.

use crate::files;
use anyhow::{Context, Result, anyhow, bail};
use hh::TextState;
use hh_core::state::{Reader, Snapshot};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

const EARLIER: &[u8; 8] = b"HHTALK01";
const DIGEST: usize = 32;

/// Whether a file's bytes begin like a state.
pub fn is_one(bytes: &[u8]) -> bool {
    TextState::is_one(bytes) || bytes.starts_with(EARLIER)
}

/// Reads the bytes of a state.
///
/// # Errors
/// One sentence for bytes that are something else, cut short or damaged.
pub fn read(bytes: &[u8]) -> Result<TextState> {
    if !is_one(bytes) {
        bail!("it is no state that `sample --state` saved; give another file, or a name that does not exist yet");
    }
    let Some(rest) = bytes.strip_prefix(EARLIER) else { return Ok(TextState::from_bytes(bytes)?) };
    let damaged = || anyhow!("it is cut short or damaged; delete it, or give another");
    let (body, digest) = rest.split_last_chunk::<DIGEST>().ok_or_else(damaged)?;
    if Sha256::digest(&bytes[..bytes.len() - DIGEST])[..] != digest[..] {
        return Err(damaged());
    }
    let mut rest = Reader(body);
    // The checkpoint, and what the snapshot says as well.
    let draws = rest.take(DIGEST + 8).and_then(|_| rest.u64()).ok_or_else(damaged)?;
    let (recent, pending) = rest.ids().zip(rest.ids()).ok_or_else(damaged)?;
    let held = rest.list(1).ok_or_else(damaged)?;
    let length = rest.length().ok_or_else(damaged)?;
    let snapshot = rest.take(length).filter(|_| held.len() < 4 && rest.0.is_empty()).ok_or_else(damaged)?;
    let mut state = TextState { recent, pending, draws, ..TextState::of(Snapshot::from_bytes(snapshot)?) };
    state.stream.push(held, &mut String::new());
    Ok(state)
}

/// Opens a file that [`save`] wrote; `None` where there is none yet.
///
/// # Errors
/// One sentence for a file that cannot be read, and those of [`read`].
pub fn open(path: &Path) -> Result<Option<TextState>> {
    if !path.exists() {
        return Ok(None);
    }
    // Asked before reading: a pipe or a device may have no end.
    if !path.is_file() {
        bail!("cannot use {} as a state: it is no regular file; give a file's name", path.display());
    }
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    read(&bytes).map(Some).with_context(|| format!("cannot use {}", path.display()))
}

/// Writes a state whole or not at all.
///
/// # Errors
/// One sentence for a place that cannot be written to.
pub fn save(state: &TextState, path: &Path) -> Result<()> {
    files::write_atomically(path, |w| w.write_all(&state.to_bytes()))
}

/// Says before the work what [`save`] would say after it.
///
/// # Errors
/// One sentence for a place that cannot be written to.
pub fn require_writable(path: &Path) -> Result<()> {
    let probe = files::unfinished_in(&files::folder_of(path));
    probe.map(drop).map_err(|e| anyhow!("cannot write {}: {}", path.display(), files::remedy(&e)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hh_core::presets::preset;
    use hh_core::{model::Model, session::Options, session::Session};
    use hh_cpu::{Cpu, Threads};

    fn state() -> TextState {
        let mut config = preset("char-0.8m").unwrap();
        (config.layers, config.hopfield_depths) = (1, vec![2]);
        for widths in [&mut config.ssm_width, &mut config.hopfield_width, &mut config.attention_width] {
            widths.truncate(1);
        }
        let mut backend = Cpu::<f32>::new(Threads::one());
        let model = Model::init(&mut backend, config, 1).unwrap();
        let mut session = Session::new(backend, &model, Options { context: 8, ..Options::default() }).unwrap();
        session.prefill(&[1, 2, 3]).unwrap();
        let mut state = TextState { recent: vec![3, 1], pending: vec![64], draws: 7, ..TextState::of(session.snapshot().unwrap()) };
        state.stream.push(&[0xe2, 0x82], &mut String::new());
        state
    }

    /// As an earlier version wrote it.
    fn earlier(state: &TextState) -> Vec<u8> {
        let mut out = [&EARLIER[..], &[9; DIGEST]].concat();
        out.extend([8_u32, 1].iter().flat_map(|n| n.to_le_bytes()));
        out.extend(state.draws.to_le_bytes());
        for ids in [&state.recent, &state.pending] {
            out.extend((ids.len() as u32).to_le_bytes());
            out.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
        }
        out.extend((state.stream.held().len() as u32).to_le_bytes());
        out.extend(state.stream.held());
        let snapshot = state.state.to_bytes();
        out.extend((snapshot.len() as u64).to_le_bytes());
        out.extend(snapshot);
        let digest: [u8; DIGEST] = Sha256::digest(&out).into();
        out.extend(digest);
        out
    }

    #[test]
    fn a_state_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("talk");
        assert_eq!(open(&path).unwrap(), None);
        let there = state();
        save(&there, &path).unwrap();
        assert_eq!(open(&path).unwrap(), Some(there.clone()));
        assert_eq!(read(&earlier(&there)).unwrap(), there, "of an earlier version");
    }

    #[test]
    fn damage_anywhere_is_found() {
        for bytes in [state().to_bytes(), earlier(&state())] {
            for cut in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
                assert!(read(&bytes[..cut]).is_err(), "cut at {cut}");
            }
            for at in (0..bytes.len()).step_by(131) {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0x10;
                assert!(read(&damaged).is_err(), "byte {at}");
            }
            let grown = [&bytes[..], b"\0"].concat();
            assert!(read(&grown).unwrap_err().to_string().contains("damaged"));
        }
        assert!(read(b"a letter").unwrap_err().to_string().contains("no state"));
    }

    #[test]
    fn a_length_that_lies_is_refused_whatever_the_checksum() {
        let bytes = earlier(&state());
        for at in [56, 68, 76, 82] {
            let mut body = bytes[..bytes.len() - DIGEST].to_vec();
            body[at..at + 4].fill(0xff);
            let digest: [u8; DIGEST] = Sha256::digest(&body).into();
            body.extend(digest);
            assert!(read(&body).is_err(), "length at {at}");
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
