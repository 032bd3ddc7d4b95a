//! What the fuzz targets do with bytes from anywhere: read them, and use what was read. Nothing may panic, and no
//! header may make the reader ask for more memory than the file's size accounts for.

use hh::{Memory, TextState};
use hh_core::{
    checkpoint::Checkpoint,
    model,
    state::{self, Snapshot},
    tokenizer,
};
use hh_runtime::{
    data::shard::{HEADER_BYTES, parse_header},
    serve, state_file,
    table::{Format, ReadOptions, Table, Vectors},
};
use sha2::{Digest, Sha256};
use std::{fs, str};
use tempfile::NamedTempFile;

/// Reads a checkpoint, and every tensor that its configuration asks for; then the same with the length of its header and of its
/// data put right, so that damage gets past them. True if it was one.
pub fn checkpoint(bytes: &[u8]) -> bool {
    let read = |bytes: &[u8]| {
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
    };
    if let Some(mended) = bytes.split_first_chunk::<8>().and_then(|(_, rest)| mended(rest)) {
        read(&mended);
    }
    read(bytes)
}

/// A checkpoint from its header and data, with as much data as the header asks for, up to a limit.
fn mended(rest: &[u8]) -> Option<Vec<u8>> {
    const MOST: u64 = 1 << 20;
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<serde_json::Value>();
    let header = values.next()?.ok()?;
    let (json, data) = rest.split_at(values.byte_offset());
    let end = |tensor: &serde_json::Value| tensor.get("data_offsets")?.get(1)?.as_u64();
    let ends = header.as_object()?.values().filter_map(end).filter(|&end| end <= MOST);
    let mut data = data.to_vec();
    data.resize(ends.max().unwrap_or(0) as usize, 0);
    Some([&(json.len() as u64).to_le_bytes()[..], json, &data].concat())
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
        read(&[body, &state::hash(body).to_le_bytes()].concat());
    }
    read(bytes)
}

/// Reads a memory file, then the same with its checksum put right; what is read writes itself back as it was. True if it was one.
pub fn memory(bytes: &[u8]) -> bool {
    let read = |bytes: &[u8]| {
        let Ok(memory) = Memory::from_bytes(bytes) else { return false };
        assert_eq!(memory.to_bytes(), bytes, "a memory that reads is what was written");
        (0..memory.len()).for_each(|item| drop(memory.passage(item, &tokenizer::Bytes)));
        memory.search("a", &tokenizer::Bytes);
        true
    };
    if let Some((body, _)) = bytes.split_last_chunk::<8>() {
        read(&[body, &state::hash(body).to_le_bytes()].concat());
    }
    read(bytes)
}

/// Reads the saved state of a text, of this and of earlier versions, then the same with its checksums put right. True if it was one
/// of this version.
pub fn text_state(bytes: &[u8]) -> bool {
    let read = |bytes: &[u8]| {
        let Ok(state) = state_file::read(bytes) else { return false };
        let again = TextState::from_bytes(&state.to_bytes()).expect("what was written");
        assert_eq!(again, state, "a state that is written is read back");
        bytes.starts_with(b"HHPAGE04")
    };
    if let Some((body, _)) = bytes.split_last_chunk::<8>() {
        for sum in [state::Hash::of(body), state::hash(body)] {
            read(&[body, &sum.to_le_bytes()].concat());
        }
    }
    if let Some((body, _)) = bytes.split_last_chunk::<32>() {
        read(&[body, &Sha256::digest(body)].concat());
    }
    read(bytes)
}

/// Reads the description of a tokenizer, in core and by the `tokenizers` crate, and encodes a text with it; or a `tokenizer.json`.
/// True if core reads it.
pub fn tokenizer(bytes: &[u8]) -> bool {
    let Ok(json) = str::from_utf8(bytes) else { return false };
    let text = "The caf\u{e9}'s 12 cats\n\n <|x|> \u{a0}e\u{301}";
    let described = tokenizer::kind(json).map_or_else(|_| format!("{{\"kind\":\"bpe\",\"tokenizer\":{json}}}"), |_| json.to_owned());
    let own = tokenizer::from_json(&described).map(|tokenizer| tokenizer.encode(text));
    let foreign = hh::tokenizer::Bpe::from_json(&described);
    for tokenizer in [hh::tokenizer::from_json(&described).ok(), foreign.ok().map(|bpe| Box::new(bpe) as _)].into_iter().flatten() {
        let ids = tokenizer.encode(text).unwrap_or_default();
        assert!(ids.iter().all(|&id| tokenizer.token_bytes(id).is_some()), "every id of a text is in the vocabulary");
        if let Ok(Ok(own)) = &own {
            assert_eq!(own, &ids, "both readers give the same ids");
        }
    }
    tokenizer::from_json(json).is_ok()
}

/// Reads all columns of a table in a file with this extension; then the same with what an ambiguous file asks its reader for. True if
/// all rows could be read without that.
pub fn table(extension: &str, bytes: &[u8]) -> bool {
    let file = written(extension, bytes);
    let read = |options: &ReadOptions| Table::open_all(&[file.path().to_owned()], options).is_ok_and(|table| rows(&table));
    let whole = read(&ReadOptions::default());
    if extension == "csv" {
        for (delimiter, raw_quotes) in [(b';', false), (b',', true)] {
            read(&ReadOptions { delimiter: Some(delimiter), header: Some(false), raw_quotes, ..ReadOptions::default() });
        }
    }
    if extension == "jsonl" {
        read(&ReadOptions { format: Some(Format::Json), ..ReadOptions::default() });
    }
    if extension == "parquet" {
        drop(Vectors::open(file.path(), None));
    }
    whole
}

/// Reads all rows, and some of them again from the middle. True if that was possible.
fn rows(table: &Table) -> bool {
    let columns: Vec<usize> = (0..table.columns().count()).filter(|&column| table.require_types(&[column]).is_ok()).collect();
    for column in table.columns() {
        drop(table.passage_column(column));
    }
    let Ok(batches) = table.batches(&columns, 100, 0) else { return false };
    let mut first = None;
    let mut rows = 0;
    for batch in batches {
        let Ok(batch) = batch else { return false };
        rows += batch.num_rows() as u64;
        first = first.or(Some(batch));
    }
    assert_eq!(rows, table.rows(), "as many rows are read as were counted");
    if let Some(first) = first.filter(|first| first.num_rows() > 1) {
        let again = table.batches(&columns, 1, 1).and_then(|mut batches| batches.next().expect("there is a second row"));
        assert_eq!(again.expect("what was read is read again"), first.slice(1, 1), "rows are the same, wherever reading begins");
    }
    columns.len() == table.columns().count()
}

/// Reads a text in a compressed file. True if it could be read.
pub fn compressed(extension: &str, bytes: &[u8]) -> bool {
    table(&format!("txt.{extension}"), bytes)
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
