use super::*;
use crate::{EmbedOptions, Embedder, GenerateOptions, TextModel};
use hh_core::{
    checkpoint::{Dtype, write},
    embed::{Convention, Pooling},
    init,
    model::shapes,
    tokenizer::{Bytes, Chars, Tokenizer, Words, from_json},
};
use std::fs;
use tempfile::TempDir;

fn config() -> Config {
    Config::from_json(
        r#"{"vocab_size": 256, "width": 16, "layers": 1, "ffn": 16, "head_dim": 8, "ssm_width": 8, "hopfield_width": 8,
            "attention_width": 8, "hopfield_depths": [2], "pooled_dim": 6}"#,
    )
    .unwrap()
}

fn convention() -> Convention {
    Convention { pooling: Pooling::Weighted, query: "ask: ".into(), document: "tell: ".into() }
}

fn notes() -> Metadata {
    let notes = [(TOKENIZER, Bytes.to_json()), (CONTEXT, "24".into()), (CONVENTION, convention().to_json()), ("step", "7".into())];
    notes.map(|(key, value)| (key.to_owned(), value)).into()
}

/// A file of random weights: those that `renamed` gives a name, in reverse order.
fn weights(metadata: &Metadata, renamed: impl Fn(&str) -> Option<String>) -> Vec<u8> {
    let c = config();
    let tensors: Vec<_> = shapes(&c)
        .into_iter()
        .rev()
        .filter_map(|(name, shape)| {
            let mut values = vec![0.0; shape.count()];
            init::value(&name, shape, &c, 3, &mut values);
            Some((renamed(&name)?, shape, values))
        })
        .collect();
    let bytes = write(&c, metadata, tensors.iter().map(|(name, shape, values)| (&name[..], *shape, &values[..])), Dtype::F32).unwrap();
    with_header(&bytes, metadata, None)
}

fn native() -> Vec<u8> {
    let mut metadata = notes();
    metadata.insert(checkpoint::CONFIG.into(), config().to_json());
    weights(&metadata, |name| Some(name.to_owned()))
}

/// A folder as `hh-runtime export --hf` writes it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| {
        fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(folder.path().join(name), bytes).unwrap();
    };
    let pytorch = Metadata::from([(FORMAT.to_owned(), "pt".to_owned())]);
    put(WEIGHTS, &weights(&pytorch, |name| (name != POOLED).then(|| name.to_owned())));
    put("2_Dense/model.safetensors", &weights(&pytorch, |name| (name == POOLED).then(|| DENSE.to_owned())));
    put("2_Dense/config.json", br#"{"in_features": 16, "out_features": 6, "bias": false, "activation_function": "torch.nn.Identity"}"#);
    put("1_Pooling/config.json", br#"{"pooling_mode_mean_tokens": false, "pooling_mode_weightedmean_tokens": true}"#);
    let modules = json!([
        {"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
        {"type": "sentence_transformers.models.Dense", "path": "2_Dense"},
        {"type": "sentence_transformers.models.Normalize", "path": "3_Normalize"},
    ]);
    put(MODULES_JSON, modules.to_string().as_bytes());
    put(PROMPTS_JSON, br#"{"prompts": {"query": "ask: ", "document": "tell: "}, "default_prompt_name": null}"#);
    let extra = Map::from_iter([("dtype".to_owned(), "float32".into()), ("transformers_version".to_owned(), "5".into())]);
    put(CONFIG_JSON, config_json(&config(), &notes(), extra).as_bytes());
    put(TOKENIZER_JSON, tokenizer_json(&Bytes.to_json()).unwrap().as_bytes());
    folder
}

fn change(folder: &TempDir, name: &str, from: &str, to: &str) {
    let path = folder.path().join(name);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

fn vectors(embedder: &Embedder) -> Vec<u32> {
    let embeddings = embedder.embed(&["a cat", "the mat"], &EmbedOptions::query()).unwrap();
    let crate::Values::F32(values) = embeddings.values() else { panic!("f32") };
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn a_folder_is_the_checkpoint_that_it_was_made_of() {
    let (folder, own) = (folder(), Embedder::from_bytes(&native()).unwrap());
    for path in [folder.path().to_owned(), folder.path().join(WEIGHTS)] {
        let again = Embedder::from_file(&path).unwrap();
        assert_eq!(vectors(&again), vectors(&own));
        assert_eq!(again.convention(), &convention());
        assert_eq!(again.identity().unwrap(), own.identity().unwrap());
        let model = TextModel::from_file(&path).unwrap();
        assert_eq!((model.context(), model.tokenizer().to_json()), (24, Bytes.to_json()));
        let text = |model: TextModel| -> String {
            let options = GenerateOptions { max_tokens: 9, ..Default::default() };
            model.generate("a", &options).unwrap().map(Result::unwrap).collect()
        };
        assert_eq!(text(model), text(TextModel::from_bytes(&native()).unwrap()));
    }
    let weights = folder.path().join(WEIGHTS);
    let made = supply(&weights, &fs::read(&weights).unwrap()).unwrap().unwrap();
    let mut metadata = notes();
    metadata.insert(checkpoint::CONFIG.into(), config().to_json());
    assert_eq!(Archive::parse(&made).unwrap().metadata(), &metadata);
    assert!(supply(&weights, &native()).unwrap().is_none(), "a checkpoint with everything inside needs no file beside it");
}

#[test]
fn the_modules_of_sentence_transformers_say_how_embeddings_are_made() {
    let folder = folder();
    let embedder = || Embedder::from_file(folder.path()).unwrap();
    change(&folder, PROMPTS_JSON, "ask: ", "find: ");
    assert_eq!(embedder().convention().query, "find: ");
    fs::write(folder.path().join("1_Pooling/config.json"), r#"{"pooling_mode": "lasttoken", "include_prompt": true}"#).unwrap();
    assert_eq!(embedder().convention().pooling, Pooling::Last);
    // A projection of their own training.
    change(&folder, CONFIG_JSON, r#""pooled_dim": 6"#, r#""pooled_dim": 0"#);
    assert_eq!(embedder().dim(), 6);
    // Without the modules, what the checkpoint said.
    fs::remove_file(folder.path().join(MODULES_JSON)).unwrap();
    assert_eq!((embedder().dim(), embedder().convention()), (16, &convention()));
}

#[test]
fn nonsense_in_a_folder_is_refused_in_one_sentence() {
    let modules = r#""path":"1_Pooling""#;
    for (name, from, to, said) in [
        (CONFIG_JSON, r#""model_type": "hh""#, r#""model_type": "llama""#, "of a model of type \"llama\""),
        (CONFIG_JSON, r#""ffn": 16"#, r#""ffn": 24"#, "has shape"),
        (CONFIG_JSON, r#""width": 16"#, r#""width": 0"#, "width is 0"),
        (CONFIG_JSON, r#""width": 16"#, r#""width": 16, "width": 16"#, "comes twice"),
        (CONFIG_JSON, r#""step": "7""#, r#""step": 7"#, "checkpoint_metadata is not readable"),
        (CONFIG_JSON, "{", "[", "not readable"),
        (MODULES_JSON, modules, r#""path":"../1_Pooling""#, "not one inside of the folder"),
        (MODULES_JSON, modules, r#""path":"elsewhere""#, "no such file"),
        (MODULES_JSON, "models.Pooling", "models.LSTM", "hh knows Transformer, Pooling, one Dense and Normalize"),
        ("1_Pooling/config.json", "weightedmean_tokens", "cls_token", "pools by cls"),
        ("1_Pooling/config.json", "{", r#"{"include_prompt": false, "#, "leaves prompts out"),
        ("2_Dense/config.json", r#""bias": false"#, r#""bias": true"#, "with a bias"),
        (PROMPTS_JSON, r#""default_prompt_name": null"#, r#""default_prompt_name": "query""#, "default prompt \"query\""),
        (
            TOKENIZER_JSON,
            r#""post_processor":null"#,
            r#""post_processor":{"type":"BertProcessing","cls":["<s>",1],"sep":["</s>",2]}"#,
            "puts <s>",
        ),
        (TOKENIZER_JSON, r#""Ā":0"#, r#""Ā":0,"x":0"#, "comes twice"),
    ] {
        let folder = folder();
        change(&folder, name, from, to);
        let error = Embedder::from_file(folder.path()).err().unwrap_or_else(|| panic!("{name} with {to} is read")).to_string();
        assert!(error.contains(said) && !error.contains('\n') && error.contains(&folder.path().display().to_string()), "{error}");
    }
    let folder = folder();
    let other = folder.path().join("other.safetensors");
    fs::copy(folder.path().join(WEIGHTS), &other).unwrap();
    assert!(Embedder::from_file(&other).err().unwrap().to_string().contains("no \"config\" in its metadata"));
    fs::remove_file(folder.path().join(CONFIG_JSON)).unwrap();
    assert!(Embedder::from_file(folder.path()).err().unwrap().to_string().contains("config"));
    fs::rename(folder.path().join(WEIGHTS), folder.path().join("pytorch_model.bin")).unwrap();
    assert!(Embedder::from_file(folder.path()).err().unwrap().to_string().contains("pickled"));
    fs::rename(folder.path().join("pytorch_model.bin"), folder.path().join("model.safetensors.index.json")).unwrap();
    assert!(Embedder::from_file(folder.path()).err().unwrap().to_string().contains("max_shard_size"));
}

fn own_tokenizers() -> Vec<Box<dyn Tokenizer>> {
    vec![
        Box::new(Bytes),
        Box::new(Chars::from_text("\n\"\\ abcdeé漢🜂").unwrap()),
        Box::new(Words::new(["<unk>", "cat", "<eos>", "the", "é", "\"\\", "=", "un@-@known"]).unwrap()),
    ]
}

#[test]
fn a_tokenizer_comes_back_from_its_file_whatever_pads() {
    for tokenizer in own_tokenizers() {
        let (json, ids) = (tokenizer_json(&tokenizer.to_json()).unwrap(), tokenizer.vocab_size());
        assert_eq!(tokenizer::description(&json, ids).unwrap(), tokenizer.to_json());
        // As transformers writes it again.
        let pad = format!(r#""added_tokens":[{{"id":{ids},"content":"<pad>","special":true}}]"#);
        let padded = json.replace(r#""added_tokens":[]"#, &pad).replace(
            r#""post_processor":null"#,
            r#""post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{}}"#,
        );
        assert_eq!(tokenizer::description(&padded, ids).unwrap(), tokenizer.to_json());
        // A change makes it a tokenizer of another kind.
        let changed = tokenizer::description(&json.replace(r#""decoder":{"#, r#""decoder":{"x":1,"#), ids).unwrap();
        assert!(changed.starts_with(r#"{"kind":"bpe""#), "{changed}");
    }
    let bpe = r#"{"version":"1.0","added_tokens":[{"id":1,"content":"</s>"},{"id":9,"content":"<pad>"}],"model":{"type":"BPE"}}"#;
    let read = tokenizer::description(bpe, 9).unwrap();
    assert!(read.contains("</s>") && !read.contains("<pad>"), "{read}");
    assert!(tokenizer::description(bpe, 10).unwrap().contains(bpe), "as it is written where nothing is left out");
    assert!(tokenizer_json(r#"{"kind":"pieces"}"#).unwrap_err().to_string().contains("no tokenizer.json"));
    assert!(from_json(&read).is_err());
}

/// The library refuses what the tokenizer refuses, and gives the same ids and text otherwise.
#[cfg(feature = "tokenizers")]
#[test]
fn the_tokenizers_library_gives_the_same_ids() {
    let texts = [
        "the cat é 漢",
        "",
        "abc",
        "a\nb \"\\",
        "the\n\ncat  \t<unk> <eos>dog\r\n\u{a0}= cat\u{85}é",
        "<pad> zebra",
        "\n",
        " ",
        "🜂e\u{301}",
    ];
    let mut compared = 0;
    for own in own_tokenizers() {
        let json = tokenizer_json(&own.to_json()).unwrap();
        let theirs: tokenizers::Tokenizer = json.parse().unwrap();
        let again: Value = serde_json::from_str(&theirs.to_string(false).unwrap()).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(&json).unwrap(), "nothing that the library would write otherwise");
        for text in texts {
            match (own.encode(text), theirs.encode(text, true)) {
                (Ok(ids), Ok(encoding)) => {
                    assert_eq!(ids, encoding.get_ids(), "{text:?}");
                    let plain = hh_core::tokenizer::decode(&*own, &ids);
                    // A word's bytes begin with a space, which the library leaves out of the first.
                    let plain = plain.strip_prefix(' ').filter(|_| json.contains("WhitespaceSplit")).unwrap_or(&plain);
                    assert_eq!(theirs.decode(&ids, false).unwrap(), plain, "{text:?}");
                    compared += 1;
                }
                (own, theirs) => assert!(own.is_err() && theirs.is_err(), "{text:?}: {own:?}, {theirs:?}"),
            }
        }
    }
    assert!(compared > 20, "{compared} texts");
}
