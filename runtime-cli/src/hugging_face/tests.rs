use super::*;
use crate::loading::tests as models;
use hh_core::checkpoint::{Stored, TOKENIZER};
use hh_core::config::Config;
use hh_core::embed::{Convention, Pooling};
use hh_core::quant::Format;
use hh_core::tokenizer::{Tokenizer, Words};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

fn source(folder: &TempDir, bytes: &[u8]) -> Source {
    let path = folder.path().join("source.safetensors");
    fs::write(&path, bytes).unwrap();
    Source::open(&path).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

/// All tensors of a checkpoint as they lie, and its metadata.
fn content(source: &Source) -> (Vec<(String, Vec<u8>)>, Metadata) {
    let checkpoint = source.checkpoint().unwrap();
    let mut tensors: Vec<_> = checkpoint.names().map(|name| (name.to_owned(), checkpoint.tensor(name).unwrap().bytes.to_vec())).collect();
    tensors.sort();
    let mut metadata = checkpoint.metadata().clone();
    metadata.remove(FORMAT);
    (tensors, metadata)
}

fn embedding_model() -> Vec<u8> {
    let convention = Convention { pooling: Pooling::Last, query: "ask: ".into(), document: String::new() };
    let config = Config { pooled_dim: 12, flow_hidden: 0, ..models::config() };
    let notes = [(TOKENIZER, models::chars().to_json()), (hh::CONTEXT, "32".into()), (CONVENTION, convention.to_json())];
    models::checkpoint(&config, &notes, |_, _| ())
}

#[test]
fn a_language_model_goes_out_and_comes_back_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/model");
    let labels = Labels { license: Some("mit".into()), language: vec!["en".into(), "de".into()] };
    let source = source(&folder, &models::good());
    let made = export(&source, &out, None, false, &labels).unwrap();
    assert!(!made.is_embedder && !made.widened && made.dtype == Dtype::F32 && made.exported.relative == 0.0);
    let expected = [
        "README.md",
        "config.json",
        "configuration_hh.py",
        "generation_config.json",
        "model.safetensors",
        "modeling_hh.py",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(names(&out), expected);
    assert_eq!(names(out.parent().unwrap()), ["model"], "nothing unfinished is left");
    let card = fs::read_to_string(out.join("README.md")).unwrap();
    for part in ["license: \"mit\"\n", "language: [\"en\",\"de\"]\n", "library_name: \"transformers\"\n", "\n# model\n"] {
        assert!(card.contains(part), "{card}");
    }
    let config = json(&out, "config.json");
    assert_eq!((&config["architectures"][0], &config["width"], &config["context"]), (&"HHForCausalLM".into(), &16.into(), &32.into()));
    // A file of the same export, to compare with.
    let file = folder.path().join("file.safetensors");
    crate::export::export(&source, &file, Dtype::F32.into(), false).unwrap();
    for path in [out.clone(), out.join(WEIGHTS)] {
        assert_eq!(content(&Source::open(&path).unwrap()), content(&Source::open(&file).unwrap()));
    }
    let loaded = Source::open(&out).unwrap().load(&mut models::cpu(), None).unwrap();
    assert_eq!((loaded.context, loaded.tokenizer.to_json()), (32, models::chars().to_json()));
    assert_eq!(crate::loading::tokenizer(out.to_str().unwrap()).unwrap().to_json(), models::chars().to_json());
    // And out again, from the folder.
    let again = folder.path().join("again");
    export(&Source::open(&out).unwrap(), &again, None, false, &labels).unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        assert_eq!(fs::read(out.join(name)).unwrap(), fs::read(again.join(name)).unwrap(), "{name}");
    }
}

#[test]
fn an_embedding_model_has_the_modules_of_sentence_transformers() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    let source = source(&folder, &embedding_model());
    assert!(export(&source, &out, None, false, &Labels::default()).unwrap().is_embedder);
    let kinds: Vec<_> = json(&out, "modules.json").as_array().unwrap().iter().map(|module| module["type"].clone()).collect();
    assert_eq!(kinds, ["Transformer", "Pooling", "Dense", "Normalize"].map(|kind| format!("sentence_transformers.models.{kind}")));
    assert_eq!(json(&out, "1_Pooling/config.json")["pooling_mode_lasttoken"], true);
    assert_eq!(json(&out, "config_sentence_transformers.json")["prompts"]["query"], "ask: ");
    assert_eq!(json(&out, "2_Dense/config.json")["out_features"], 12);
    assert!(!out.join("generation_config.json").exists());
    let weights = fs::read(out.join(WEIGHTS)).unwrap();
    assert!(!String::from_utf8_lossy(&weights).contains("pooled"), "the projection is where sentence-transformers trains it");
    assert_eq!(content(&Source::open(&out).unwrap()), content(&source));
}

#[test]
fn weights_are_stored_as_they_were_and_blocks_are_widened() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { width: 64, embed_dim: 64, ffn: 96, ..models::config() };
    let notes = [(TOKENIZER, models::chars().to_json())];
    let whole = source(&folder, &models::checkpoint(&config, &notes, |_, _| ()));
    for (name, stored, dtype, widened) in [
        ("bf16", Dtype::Bf16.into(), Dtype::Bf16, false),
        ("f16", Dtype::F16.into(), Dtype::F16, false),
        ("q8", Stored::Quantised(Format::Q8), Dtype::F32, true),
    ] {
        let (file, out) = (folder.path().join(format!("{name}.safetensors")), folder.path().join(name));
        crate::export::export(&whole, &file, stored, false).unwrap();
        let made = export(&Source::open(&file).unwrap(), &out, None, false, &Labels::default()).unwrap();
        assert_eq!((made.dtype, made.widened, made.exported.relative), (dtype, widened, 0.0), "{name}");
        assert_eq!(json(&out, "config.json")["dtype"], "float32");
    }
}

#[test]
fn what_cannot_go_out_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let fail = |bytes: &[u8], out: &Path, dtype: Option<Dtype>, said: &str| {
        let source = source(&folder, bytes);
        let before = names(home);
        let error = format!("{:#}", export(&source, out, dtype, false, &Labels::default()).err().unwrap());
        assert!(error.contains(said) && !error.contains('\n'), "{error}");
        assert_eq!(names(home), before, "{error}");
    };
    let (full, file): (PathBuf, PathBuf) = (home.join("full"), home.join("file"));
    fs::create_dir(&full).unwrap();
    fs::write(full.join("x"), "x").unwrap();
    fs::write(&file, "x").unwrap();
    fail(&models::good(), &full, None, "is not empty");
    fail(&models::good(), &file, None, "is a file");
    let out = home.join("out");
    fail(&models::checkpoint(&models::config(), &[], |_, _| ()), &out, None, "no tokenizer inside");
    let large = models::checkpoint(&models::config(), &[(TOKENIZER, models::chars().to_json())], |_, values| values[0] = 1e6);
    fail(&large, &out, Some(Dtype::F16), "too large for F16");
    let around = r#"{"kind":"bpe","tokenizer":{"post_processor":{"type":"BertProcessing","cls":["<s>",1],"sep":["</s>",2]}}}"#;
    fail(&models::checkpoint(&models::config(), &[(TOKENIZER, around.into())], |_, _| ()), &out, None, "puts <s> and </s> around");
}

#[test]
fn special_tokens_are_those_of_the_vocabulary() {
    let words = Words::new(["<unk>", "<eos>", "cat"]).unwrap();
    let files = tokenizer::Files::new(&words.to_json(), &models::config()).unwrap();
    let config: Value = serde_json::from_str(&files.texts(false)[1].1).unwrap();
    assert_eq!((files.pad_id, files.end_of_text), (None, None));
    assert_eq!(
        (&config["pad_token"], &config["split_special_tokens"], &config["eos_token"]),
        (&"<pad>".into(), &true.into(), &Value::Null)
    );
    #[cfg(feature = "tokenizers")]
    {
        let mut vocab: Map<String, Value> =
            serde_json::from_str(&hh::hugging_face::tokenizer_json(r#"{"kind":"bytes"}"#).unwrap()).unwrap();
        vocab["model"]["vocab"].as_object_mut().unwrap().insert("<|endoftext|>".into(), 256.into());
        vocab["added_tokens"] = json!([{"id": 256, "content": "<|endoftext|>", "special": true, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false}]);
        let bpe = format!(r#"{{"kind":"bpe","tokenizer":{}}}"#, Value::from(vocab));
        let files = tokenizer::Files::new(&bpe, &models::config()).unwrap();
        let config: Value = serde_json::from_str(&files.texts(false)[1].1).unwrap();
        assert_eq!((files.pad_id, files.end_of_text), (Some(256), Some(256)));
        assert_eq!((&config["pad_token"], &config["eos_token"]), (&"<|endoftext|>".into(), &"<|endoftext|>".into()));
        assert_eq!(config["split_special_tokens"], false);
    }
}
