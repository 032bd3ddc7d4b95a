//! What the fuzz targets do with bytes from anywhere: read them, and use what was read. Nothing may panic, and no
//! header may make the reader ask for more memory than the file's size accounts for.

use hh_core::{checkpoint::Checkpoint, model, state::Snapshot, tokenizer};
use hh_runtime::{
    conversation::Conversation,
    data::shard::{HEADER_BYTES, parse_header},
    serve,
    table::{Table, Vectors},
};
use sha2::{Digest, Sha256};
use std::{fs, str};
use tempfile::NamedTempFile;

/// Reads a checkpoint, and every tensor that its configuration asks for. True if it was one.
pub fn checkpoint(bytes: &[u8]) -> bool {
    let Ok(checkpoint) = Checkpoint::parse(bytes) else { return false };
    if let Some(json) = checkpoint.tokenizer_json() {
        let _ = tokenizer::from_json(json);
    }
    let shapes = model::shapes(checkpoint.config());
    if checkpoint.expect(shapes.iter().map(|(name, shape)| (name.as_str(), *shape))).is_err() {
        return false;
    }
    let mut values = Vec::new();
    shapes.iter().all(|(name, shape)| {
        values.resize(shape.count(), 0.0);
        checkpoint.read(name, *shape, &mut values).is_ok()
    })
}

/// Reads a shard's header and, if the file is whole, its ids; then the same with its checksum put right, so that
/// damage gets past it. True if it was one.
pub fn shard(bytes: &[u8]) -> bool {
    let read = |bytes: &[u8]| {
        let Ok(header) = parse_header(bytes) else { return false };
        if header.file_bytes() != bytes.len() as u64 {
            return false;
        }
        let mut ids = vec![0; header.count as usize];
        header.width.unpack(&bytes[HEADER_BYTES..], &mut ids);
        ids.iter().all(|&id| u64::from(id) < header.vocab_size)
    };
    if let Some((checked, _)) = bytes.split_first_chunk::<64>().filter(|(_, rest)| rest.len() >= 32) {
        let mut mended = bytes.to_vec();
        mended[64..96].copy_from_slice(&Sha256::digest(checked));
        read(&mended);
    }
    read(bytes)
}

/// Reads a saved state, then the same with its checksum put right; what is read writes itself back as it was. True if
/// it was one.
pub fn state(bytes: &[u8]) -> bool {
    let read = |bytes: &[u8]| {
        let Ok(snapshot) = Snapshot::from_bytes(bytes) else { return false };
        assert_eq!(snapshot.to_bytes(), bytes, "a state that reads is what was written");
        true
    };
    if let Some((body, _)) = bytes.split_last_chunk::<8>() {
        let hash = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        read(&[body, &hash.to_le_bytes()].concat());
    }
    read(bytes)
}

/// Reads a saved conversation. True if it was one.
pub fn conversation(bytes: &[u8]) -> bool {
    let Ok(conversation) = Conversation::from_bytes(bytes) else { return false };
    assert_eq!(conversation.to_bytes(), bytes, "a conversation that reads is what was written");
    true
}

/// Reads the description of a tokenizer, in core and by the `tokenizers` crate, and encodes a text with it. True if core reads it.
pub fn tokenizer(bytes: &[u8]) -> bool {
    let Ok(json) = str::from_utf8(bytes) else { return false };
    let text = "The caf\u{e9}'s 12 cats\n\n <|x|> \u{a0}e\u{301}";
    let own = tokenizer::from_json(json).map(|tokenizer| tokenizer.encode(text));
    if let Ok(tokenizer) = hh::tokenizer::from_json(json) {
        let ids = tokenizer.encode(text).unwrap_or_default();
        assert!(ids.iter().all(|&id| tokenizer.token_bytes(id).is_some()), "every id of a text is in the vocabulary");
    }
    own.is_ok()
}

/// Reads all columns of a table in a file with this extension. True if all rows could be read.
pub fn table(extension: &str, bytes: &[u8]) -> bool {
    let file = written(extension, bytes);
    let Ok(table) = Table::open(file.path()) else { return false };
    let columns: Vec<usize> = (0..table.columns().count()).collect();
    table.batches(&columns, 100, 0).is_ok_and(|mut batches| batches.all(|batch| batch.is_ok()))
}

/// Reads an array of NumPy. True if it was one of vectors.
pub fn npy(bytes: &[u8]) -> bool {
    let file = written("npy", bytes);
    let Ok(vectors) = Vectors::open(file.path(), None) else { return false };
    let mut row = vec![0.0; vectors.dim()];
    (0..vectors.rows().min(1000)).for_each(|i| vectors.row(i, &mut row));
    true
}

fn written(extension: &str, bytes: &[u8]) -> NamedTempFile {
    let file = tempfile::Builder::new().suffix(&format!(".{extension}")).tempfile().expect("a folder for temporary files");
    fs::write(file.path(), bytes).expect("room for a file");
    file
}

/// Reads the body of a request to the server. True if it is one for embeddings or completions.
pub fn request(bytes: &[u8]) -> bool {
    serve::is_request(bytes)
}
