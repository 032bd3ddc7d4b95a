use super::*;
use hh_core::checkpoint::{Dtype, TOKENIZER, write};
use hh_core::config::Config;
use hh_core::init;
use hh_core::model::shapes;
use hh_core::tokenizer::{Bytes, Chars};
use hh_cpu::{Cpu, Threads};
use std::fs;

pub(crate) fn cpu() -> Cpu<f32> {
    Cpu::new(Threads::one())
}

/// All three paths, two segments, and a rectified-flow head; a vocabulary of eight characters.
pub(crate) fn config() -> Config {
    Config::from_json(
        r#"{"vocab_size": 8, "width": 16, "layers": 2, "ffn": 24, "head_dim": 8, "ssm_width": 16, "hopfield_width": 8,
            "attention_width": 8, "hopfield_depths": [2, 1], "segments": 2, "controller_width": 8, "flow_hidden": 8}"#,
    )
    .unwrap()
}

pub(crate) fn chars() -> Chars {
    Chars::from_text("\n abcde\u{e9}").unwrap()
}

/// A checkpoint of untrained weights; `change` may spoil them.
pub(crate) fn checkpoint(config: &Config, notes: &[(&str, String)], change: impl Fn(&str, &mut [f32])) -> Vec<u8> {
    let tensors: Vec<_> = shapes(config)
        .into_iter()
        .map(|(name, shape)| {
            let mut values = vec![0.0; shape.count()];
            init::value(&name, shape, config, 3, &mut values);
            // Logits of an untrained model hardly differ.
            values.iter_mut().for_each(|x| *x *= if name == "embed.weight" { 30.0 } else { 1.0 });
            change(&name, &mut values);
            (name, shape, values)
        })
        .collect();
    let notes = notes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    write(config, &notes, tensors.iter().map(|(name, shape, values)| (name.as_str(), *shape, &values[..])), Dtype::F32).unwrap()
}

/// The same with its tokenizer, as `train` writes it.
pub(crate) fn good() -> Vec<u8> {
    checkpoint(&config(), &[(TOKENIZER, chars().to_json()), (hh::CONTEXT, "32".into())], |_, _| {})
}

/// What loading says about a file with these bytes.
fn error(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    fs::write(&path, bytes).unwrap();
    let Err(e) = Source::open(&path).and_then(|source| source.load(&mut cpu(), None)) else { panic!("it was loaded") };
    let sentence = format!("{e:#}");
    assert!(sentence.contains("model.safetensors") && !sentence.contains('\n'), "{sentence}");
    sentence
}

#[test]
fn a_checkpoint_and_the_folder_around_it_load_alike() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(RunFolder::at(folder.path()).best(), good()).unwrap();
    for path in [folder.path().to_owned(), RunFolder::at(folder.path()).best()] {
        let source = Source::open(&path).unwrap();
        let loaded = source.load(&mut cpu(), None).unwrap();
        assert_eq!((loaded.context, loaded.tokenizer.vocab_size()), (32, 8));
        assert_eq!(loaded.model.config, config());
        assert!(source.header().ends_with(b"}") || source.header().ends_with(b" "));
    }
}

#[test]
fn a_model_without_a_flow_head_loads_without_one() {
    let stripped = checkpoint(&Config { flow_hidden: 0, ..config() }, &[(TOKENIZER, chars().to_json())], |_, _| {});
    let folder = tempfile::tempdir().unwrap();
    fs::write(RunFolder::at(folder.path()).best(), stripped).unwrap();
    let loaded = Source::open(folder.path()).unwrap().load(&mut cpu(), None).unwrap();
    assert!(loaded.model.params.flow.is_none());
    assert_eq!(loaded.context, 1024, "the file does not say");
}

#[test]
fn every_damage_has_its_sentence() {
    let whole = good();
    assert!(error(b"").contains("empty"));
    assert!(error(&whole[..whole.len() / 2]).contains("cut short"));
    assert!(error(&whole[..300]).contains("cut short"));
    assert!(error(b"once upon a time there was a text").contains("not a safetensors file"));
    let nan = checkpoint(&config(), &[(TOKENIZER, chars().to_json())], |_, _| {});
    let mut nan = nan;
    let at = nan.len() - 4;
    nan[at..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(error(&nan).contains("flow.out.weight has the value NaN"), "{}", error(&nan));
    let other = Config { width: 24, ..config() };
    let text = String::from_utf8_lossy(&whole).into_owned();
    assert!(text.contains("width"), "the configuration is in the header");
    let wide = checkpoint(&other, &[(TOKENIZER, chars().to_json())], |_, _| {});
    let swapped = replace(&wide, br#"\"width\":24"#, br#"\"width\":16"#);
    assert!(error(&swapped).contains("has shape"), "{}", error(&swapped));
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|w| w == from).expect("it is there");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn a_missing_tokenizer_is_asked_for_and_one_too_large_refused() {
    let bare = checkpoint(&config(), &[], |_, _| {});
    assert!(error(&bare).contains("--tokenizer"));
    assert!(error(&checkpoint(&config(), &[(TOKENIZER, Bytes.to_json())], |_, _| {})).contains("256 ids and the model"));

    let folder = tempfile::tempdir().unwrap();
    let (model, json) = (folder.path().join("m.safetensors"), folder.path().join("tokenizer.json"));
    fs::write(&model, bare).unwrap();
    fs::write(&json, chars().to_json()).unwrap();
    let loaded = Source::open(&model).unwrap().load(&mut cpu(), Some(json.to_str().unwrap())).unwrap();
    assert_eq!(loaded.tokenizer.to_json(), chars().to_json());
}

#[test]
fn a_tokenizer_is_found_wherever_one_lies() {
    let folder = tempfile::tempdir().unwrap();
    let find = |name: &str| tokenizer(folder.path().join(name).to_str().unwrap()).map(|t| t.vocab_size());
    fs::write(folder.path().join("tokenizer.json"), chars().to_json()).unwrap();
    fs::write(folder.path().join("m.safetensors"), good()).unwrap();
    assert_eq!(find("tokenizer.json").unwrap(), 8);
    assert_eq!(find("").unwrap(), 8);
    assert_eq!(find("m.safetensors").unwrap(), 8);
    assert_eq!(tokenizer("bytes").unwrap().vocab_size(), 256);
    assert!(tokenizer("chars").err().unwrap().to_string().contains("learns its vocabulary"));
    assert!(format!("{:#}", find("none").unwrap_err()).contains("is no file"));
}

#[test]
fn a_path_without_a_checkpoint_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path| Source::open(path).err().unwrap().to_string();
    assert!(open(folder.path()).contains("folder without a checkpoint"));
    assert!(open(&folder.path().join("x")).contains("no such file"));
    fs::write(RunFolder::at(folder.path()).last(), good()).unwrap();
    assert!(open(folder.path()).contains("last.safetensors instead"));
    #[cfg(unix)]
    assert!(open(Path::new("/dev/null")).contains("no regular file"));
}
