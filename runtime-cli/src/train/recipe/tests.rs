use super::*;
use crate::data::WindowOrder;
use crate::train::ObjectiveOptions;

fn file(toml: &str) -> RecipeFile {
    toml::from_str(toml).unwrap()
}

fn flags(file: RecipeFile, set: &[&str]) -> Result<RecipeFile> {
    let set: Vec<_> = set.iter().map(|s| s.to_string()).collect();
    file.with_flags(None, &set, &TrainOptions::default(), &ObjectiveOptions::default(), &DataOptions::default())
}

fn error<T>(result: Result<T>) -> String {
    result.err().expect("an error").to_string()
}

#[test]
fn the_default_is_the_small_preset_without_a_flow_head() {
    let recipe = RecipeFile::default().complete(80).unwrap();
    assert_eq!(recipe.model, Config { vocab_size: 80, ..preset(DEFAULT_PRESET).unwrap() });
    assert_eq!(recipe.data.files, [PathBuf::from("builtin")]);
}

#[test]
fn a_recipe_survives_writing_and_reading() {
    for name in PRESETS.map(|(name, _)| name) {
        let train = TrainOptions { flow_weight: Some(0.1), lr: Some(3e-4), ..TrainOptions::default() };
        let recipe = RecipeFile::default()
            .with_flags(Some(name), &[], &train, &ObjectiveOptions::default(), &DataOptions::default())
            .unwrap()
            .complete(99)
            .unwrap();
        assert!(recipe.model.flow_hidden > 0, "{name}");
        assert_eq!(Recipe::from_toml(&recipe.to_toml()).unwrap(), recipe, "{name}");
    }
}

#[test]
fn flags_override_the_file() {
    let file = file("[train]\nsteps = 7\nlr = 0.5\n[data]\ntokenizer = \"bytes\"\n");
    let train = TrainOptions { steps: Some(9), ..TrainOptions::default() };
    let recipe = file.with_flags(None, &[], &train, &ObjectiveOptions::default(), &DataOptions::default()).unwrap().complete(256).unwrap();
    assert_eq!((recipe.train.steps, recipe.train.lr), (9, 0.5));
    assert_eq!(recipe.data.tokenizer.as_deref(), Some("bytes"));
}

#[test]
fn a_field_of_a_preset_can_be_changed() {
    let changed = flags(RecipeFile::default(), &["layers=2", "hopfield_depths=[1,1]", "width=64", "hopfield_kind=classic"]).unwrap();
    let model = changed.complete(65).unwrap().model;
    assert_eq!((model.layers, model.embed_dim, model.ssm_width.len()), (2, 64, 2));
    assert_eq!(model.hopfield_kind, hh_core::config::HopfieldKind::Classic);
}

#[test]
fn the_flow_head_exists_if_it_is_trained_or_set() {
    let hidden = |toml: &str| file(toml).complete(300).map(|r| r.model.flow_hidden);
    assert_eq!(hidden("[model]\npreset = \"bpe-97m\"").unwrap(), 0);
    assert_eq!(hidden("[model]\npreset = \"bpe-97m\"\n[train]\nflow_weight = 0.1").unwrap(), 512);
    assert_eq!(hidden("[train]\nflow_weight = 0.1").unwrap(), 128);
    assert_eq!(hidden("[model]\npreset = \"bpe-97m\"\nflow_hidden = 32").unwrap(), 32);
    assert!(error(hidden("[model]\npreset = \"bpe-97m\"\nflow_hidden = 0\n[train]\nflow_weight = 0.1")).contains("flow"));
}

#[test]
fn contradictions_and_invalid_values_are_named() {
    let with_model = file("[model]\npreset = \"char-4.5m\"");
    let twice =
        with_model.with_flags(Some("char-0.8m"), &[], &TrainOptions::default(), &ObjectiveOptions::default(), &DataOptions::default());
    assert!(error(twice).contains("--preset char-0.8m contradicts"));
    assert!(error(flags(RecipeFile::default(), &["layers"])).contains("--set layers has no value"));
    for (toml, word) in [
        ("[model]\npreset = \"no-such\"", "the presets are char-0.8m"),
        ("[model]\nwidht = 3", "widht"),
        ("[train]\nbatch = 0", "batch is 0"),
        ("[train]\ncontext = 99999999", "context is 99999999"),
        ("[train]\neval_every = 0", "eval_every is 0"),
        ("[train]\nlr = -1.0", "learning rate is -1"),
        ("[train]\nbeta1 = 1.0", "beta1 is 1"),
        ("[train]\nsteps = 5\nwarmup = 6", "warm-up"),
        ("[model]\npreset = \"char-0.8m\"\npositions = \"learned\"\nmax_len = 8", "8 learned positions"),
    ] {
        let message = error(file(toml).complete(65));
        assert!(message.contains(word) && !message.contains('\n'), "{message}");
    }
}

#[test]
fn an_invalid_file_is_reported_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        RecipeFile::read(&path)
    };
    assert!(error(read("a.toml", "[train]\nsteps = 5\nstep = 6\n")).contains("line 3: unknown field `step`"));
    assert!(error(read("a.toml", "[train\n")).contains("line 1"));
    assert!(error(read("a.json", "[1]")).contains("is not a model configuration"));
    let twice = r#"{"width": 16, "layers": 2, "width": 32}"#;
    assert!(error(read("a.json", twice)).contains("the key \"width\" comes twice"));
    let json = preset("gpt-4.5m").unwrap().to_json();
    assert_eq!(read("a.json", &json).unwrap().complete(65).unwrap().model, preset("gpt-4.5m").unwrap());
}

#[test]
fn a_run_from_before_windows_were_shuffled_keeps_its_order() {
    let new = RecipeFile::default().complete(80).unwrap();
    assert_eq!(new.train.windows, WindowOrder::Shuffled);
    let text = new.to_toml();
    let old = text.replace("windows = \"shuffled\"\n", "");
    assert_ne!(old, text);
    assert_eq!(Recipe::from_toml(&old).unwrap().train.windows, WindowOrder::Random, "a run that is resumed");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let windows = |text: &str| {
        std::fs::write(&path, text).unwrap();
        RecipeFile::read(&path).unwrap().complete(80).unwrap().train.windows
    };
    assert_eq!(windows(&old), WindowOrder::Random, "a run that is repeated");
    assert_eq!(windows(&text), WindowOrder::Shuffled);
    assert_eq!(windows("[train]\nsteps = 7\nbatch = 2\n"), WindowOrder::Shuffled, "a recipe written by hand");
    assert_eq!(windows("[train]\nwindows = \"random\"\n"), WindowOrder::Random);
}
