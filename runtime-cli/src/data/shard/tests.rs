use super::*;
use crate::data::TokenStream;
use crate::tokenizers::Spec;
use hh_core::tokenizer::{Bytes, Tokenizer};
use std::fs;
use std::path::Path;

/// A tokenizer of any size, whose ids are never encoded.
struct Sized(usize);

impl Tokenizer for Sized {
    fn vocab_size(&self) -> usize {
        self.0
    }
    fn encode(&self, _: &str) -> Result<Vec<u32>, hh_core::error::Error> {
        Ok(Vec::new())
    }
    fn token_bytes(&self, _: u32) -> Option<&[u8]> {
        None
    }
    fn to_json(&self) -> String {
        let words = ["<unk>".to_owned(), "<eos>".to_owned()].into_iter().chain((2..self.0).map(|i| format!("w{i}")));
        serde_json::json!({ "kind": "words", "words": words.collect::<Vec<_>>() }).to_string()
    }
}

fn write(folder: &Path, tokenizer: &dyn Tokenizer, shard_tokens: u64, ids: &[u32]) {
    let mut writer = ShardWriter::create(folder, tokenizer, shard_tokens).unwrap();
    for part in ids.chunks(7) {
        writer.push(part).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), ids.len() as u64);
}

fn error(folder: &Path) -> String {
    format!("{:#}", ShardFolder::open(folder).err().unwrap())
}

#[test]
fn ids_are_read_across_shards_in_both_widths() {
    let folder = tempfile::tempdir().unwrap();
    for vocab_size in [300, 1 << 16, (1 << 16) + 1] {
        let path = folder.path().join(vocab_size.to_string());
        let ids: Vec<u32> = (0..1000).map(|i| (i * 7919) % vocab_size as u32).chain([vocab_size as u32 - 1]).collect();
        write(&path, &Sized(vocab_size), 64, &ids);
        let (stream, tokenizer) = TokenStream::from_shards(ShardFolder::open(&path).unwrap());
        assert_eq!((stream.len(), tokenizer.vocab_size()), (1001, vocab_size));
        for (offset, len) in [(0, 1001), (0, 1), (63, 2), (64, 64), (100, 500), (1000, 1), (1001, 0)] {
            let mut out = vec![0; len];
            stream.read(offset as u64, &mut out).unwrap();
            assert_eq!(out, ids[offset..offset + len]);
        }
        let mut out = [0; 3];
        stream.part(60..70).read(3, &mut out).unwrap();
        assert_eq!(out, ids[63..66]);
    }
}

#[test]
fn a_folder_is_written_atomically() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shards");
    let mut writer = ShardWriter::create(&path, &Bytes, 10).unwrap();
    writer.push(&[1; 25]).unwrap();
    assert!(writer.push(&[256]).unwrap_err().to_string().contains("id 256"));
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(ShardWriter::create(&path, &Bytes, 10).unwrap().finish().unwrap_err().to_string().contains("no tokens"));
    write(&path, &Bytes, 10, &[1; 25]);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 5);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(ShardWriter::create(&path, &Bytes, 10).err().unwrap().to_string().contains("is not empty"));
    assert!(ShardWriter::create(&path.join(MANIFEST), &Bytes, 10).err().unwrap().to_string().contains("is a file"));
    assert!(ShardWriter::create(&folder.path().join("x"), &Bytes, 0).is_err());
}

#[test]
fn a_text_and_its_shards_are_the_same_ids() {
    let folder = tempfile::tempdir().unwrap();
    let texts = || ["to be or not ", "to be"].map(|t| Ok(t.to_owned())).into_iter();
    let tokenizer = Spec::Chars.build(texts()).unwrap();
    let stream = TokenStream::from_texts(&*tokenizer, texts()).unwrap();
    let mut ids = vec![0; stream.len() as usize];
    stream.read(0, &mut ids).unwrap();
    assert_eq!(ids, tokenizer.encode("to be or not to be").unwrap());
    write(&folder.path().join("s"), &*tokenizer, 5, &ids);
    let opened = ShardFolder::open(&folder.path().join("s")).unwrap();
    opened.require(&*tokenizer).unwrap();
    assert!(opened.require(&Bytes).unwrap_err().to_string().contains("another tokenizer"));
}

#[test]
fn every_damage_is_rejected_with_the_name_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    write(&path, &Bytes, 10, &[1; 25]);
    let shard = path.join("shard-00001.ids");
    let whole = fs::read(&shard).unwrap();
    let refuse = |bytes: &[u8], word: &str| {
        fs::write(&shard, bytes).unwrap();
        let error = error(&path);
        assert!(error.contains(word) && error.contains("shard-00001"), "{error}");
        fs::write(&shard, &whole).unwrap();
    };
    refuse(&whole[..whole.len() - 1], "cut off");
    refuse(&[&whole[..], &[0]].concat(), "cut off or damaged");
    refuse(&whole[..HEADER_BYTES - 1], "cut off");
    refuse(&[], "not a shard of ids");
    refuse(b"hello", "not a shard of ids");
    refuse(&[&whole[..8], &[2], &whole[9..]].concat(), "version 2");
    for byte in 12..HEADER_BYTES {
        let mut bytes = whole.clone();
        bytes[byte] ^= 1;
        refuse(&bytes, "damaged");
    }
    let mut header = parse_header(&whole).unwrap();
    header.tokenizer[0] ^= 1;
    refuse(&[&header.to_bytes()[..], &whole[HEADER_BYTES..]].concat(), "another tokenizer");
    fs::copy(path.join("shard-00002.ids"), &shard).unwrap();
    assert!(error(&path).contains("of the manifest"));
    fs::remove_file(&shard).unwrap();
    assert!(error(&path).contains("no such file"));
    fs::write(path.join(TOKENIZER), "{\"kind\":\"chars\",\"chars\":\"ab\"}").unwrap();
    assert!(error(&path).contains("another tokenizer"));
    fs::write(path.join(TOKENIZER), "nonsense").unwrap();
    assert!(error(&path).contains("tokenizer.json"));
    fs::write(path.join(MANIFEST), "nonsense").unwrap();
    assert!(error(&path).contains("not readable"));
    fs::remove_file(path.join(MANIFEST)).unwrap();
    assert!(error(&path).contains("not a folder of shards"));
    assert!(error(&folder.path().join("none")).contains("no such file"));
}

#[test]
fn a_manifest_cannot_refer_to_files_outside_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    write(&path, &Bytes, 10, &[1; 5]);
    for name in ["../s/shard-00000.ids", "/dev/zero", "", ".."] {
        let manifest = Manifest { version: 1, vocab_size: 256, tokens: 5, shards: vec![Entry { file: name.into(), tokens: 5 }] };
        fs::write(path.join(MANIFEST), serde_json::to_string(&manifest).unwrap()).unwrap();
        assert!(error(&path).contains("not a file of the folder"), "{name}");
    }
}

#[test]
fn an_id_outside_of_the_vocabulary_is_found_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    write(&path, &Bytes, 10, &[1; 10]);
    let shard = path.join("shard-00000.ids");
    let mut bytes = fs::read(&shard).unwrap();
    bytes[HEADER_BYTES + 8..HEADER_BYTES + 10].copy_from_slice(&256_u16.to_le_bytes());
    fs::write(&shard, bytes).unwrap();
    let (stream, _) = TokenStream::from_shards(ShardFolder::open(&path).unwrap());
    stream.read(0, &mut [0; 4]).unwrap();
    let error = stream.read(0, &mut [0; 10]).unwrap_err().to_string();
    assert!(error.contains("token 4 of the data is 256"), "{error}");
}

#[test]
fn a_contradictory_header_is_rejected_even_with_a_valid_checksum() {
    let good = Header { width: Width::Two, count: 5, vocab_size: 256, tokenizer: [3; 32] };
    assert_eq!(parse_header(&good.to_bytes()).unwrap(), good);
    for bad in [
        Header { width: Width::Four, ..good.clone() },
        Header { vocab_size: 1 << 20, ..good.clone() },
        Header { vocab_size: 0, ..good.clone() },
        Header { count: u64::MAX, ..good.clone() },
        Header { width: Width::Four, vocab_size: u64::MAX, ..good.clone() },
    ] {
        assert!(parse_header(&bad.to_bytes()).is_err(), "{bad:?}");
    }
}

#[cfg(unix)]
#[test]
fn what_a_killed_writer_left_goes_with_the_next_and_a_busy_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let stale = folder.path().join(".hh-aB3dE5.unfinished");
    fs::create_dir(&stale).unwrap();
    fs::write(stale.join("shard-00000.ids"), "cut off").unwrap();
    let mut busy = ShardWriter::create(&folder.path().join("one"), &Bytes, 5).unwrap();
    assert!(!stale.exists());
    write(&folder.path().join("two"), &Bytes, 5, &[1, 2, 3]);
    busy.push(&[4, 5, 6]).unwrap();
    assert_eq!(busy.finish().unwrap(), 3);
}
