//! Runs that train embeddings.

use super::*;
use hh_core::embed::Convention;

const COLOURS: [&str; 6] = ["red", "green", "blue", "white", "black", "grey"];
const THINGS: [&str; 8] = ["house", "river", "horse", "stone", "window", "garden", "letter", "mountain"];

/// A folder with pairs (a phrase and its paraphrase), and with texts and their teacher embeddings.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (mut pairs, mut texts, mut vectors) = ("question\tanswer\n".to_owned(), String::new(), Vec::new());
    for (i, colour) in COLOURS.iter().enumerate() {
        for (j, thing) in THINGS.iter().enumerate() {
            pairs += &format!("a {colour} {thing}\tthe {thing} that is {colour}\n");
            texts += &format!("a {colour} {thing}\n");
            vectors.extend((0..6).map(|k| (i == k) as u8 as f32));
            vectors.extend((0..8).map(|k| (j == k) as u8 as f32));
        }
    }
    // Without a positive, so it is skipped.
    pairs += "a lonely one\t\n";
    fs::write(folder.path().join("pairs.tsv"), pairs).unwrap();
    fs::write(folder.path().join("texts.txt"), texts).unwrap();
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    let header = format!("{:117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (48, 14), }");
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.bytes());
    npy.extend(vectors.iter().flat_map(|x| x.to_le_bytes()));
    fs::write(folder.path().join("teacher.npy"), npy).unwrap();
    folder
}

fn bench(change: impl FnOnce(&mut RecipeFile, &Path)) -> Result<Bench> {
    let folder = folder();
    let mut file: RecipeFile = toml::from_str(TINY).unwrap();
    (file.train.flow_weight, file.train.smoothing, file.train.z_weight) = (None, None, None);
    (file.train.batch, file.train.steps) = (Some(4), Some(40));
    file.data.files = Some(vec![folder.path().join("pairs.tsv")]);
    file.data.tokenizer = Some("words".into());
    file.objective.kind = Some(Kind::Contrastive);
    change(&mut file, folder.path());
    Bench::open(folder, &file)
}

fn taught(file: &mut RecipeFile, folder: &Path) {
    file.objective.kind = Some(Kind::Distill);
    file.objective.teacher = Some(folder.join("teacher.npy"));
    file.objective.dims = Some(vec![8, 4]);
    file.data.files = Some(vec![folder.join("texts.txt")]);
    file.model.insert("pooled_dim".into(), 14.into());
}

#[test]
fn two_ranks_train_embeddings_with_the_bits_of_one() {
    for bench in [bench(|_, _| ()).unwrap(), bench(taught).unwrap()] {
        let (one, two) = (bench.out("one"), bench.out("two"));
        let alone = bench.train(&one, None, u64::MAX, 1).unwrap();
        for outcome in bench.together(&two, false, 2, |_, _| false) {
            assert_eq!(outcome.unwrap().whole, alone.whole);
        }
        super::ranks::same(&one, &two, "two ranks");
    }
}

#[test]
fn both_objectives_are_learned_and_resumed_bit_for_bit() {
    let contrastive = bench(|file, _| file.objective.query_prompt = Some("find ".into())).unwrap();
    let distilled = bench(taught).unwrap();
    for (bench, unit) in [(contrastive, "nats per text"), (distilled, "1 − cosine")] {
        let (whole, parts) = (bench.out("whole"), bench.out("parts"));
        let outcome = bench.train(&whole, None, u64::MAX, 2).unwrap();
        assert!(bench.train(&parts, None, 13, 1).unwrap().whole.is_none());
        assert!(bench.go_on(&parts, u64::MAX, 2).unwrap().whole.is_some());
        for file in ["best.safetensors", "last.safetensors", "resume.safetensors"] {
            let read = |folder: &RunFolder| fs::read(folder.path().join(file)).unwrap();
            assert!(read(&whole) == read(&parts), "{file} differs");
        }
        assert_eq!(timeless(&whole), timeless(&parts));
        let first = timeless(&whole).iter().find_map(|r| if let Record::Step(r) = r { Some(r.loss()) } else { None }).unwrap();
        assert!(outcome.best.unwrap().nll < 0.8 * first, "{unit}: {first} to {:?}", outcome.best);
        #[cfg(feature = "plots")]
        assert!(fs::read_to_string(whole.curve()).unwrap().contains(unit));
        let bytes = fs::read(whole.best()).unwrap();
        let checkpoint = Checkpoint::parse(&bytes).unwrap();
        assert_eq!(Convention::of(checkpoint.metadata()).unwrap(), bench.recipe.objective.as_ref().unwrap().convention());
        assert_eq!(checkpoint.metadata()["texts_seen"], (checkpoint.step() * 8).to_string());
        assert_eq!(Recipe::from_toml(&bench.recipe.to_toml()).unwrap(), bench.recipe);
    }
}

#[test]
fn an_epoch_has_every_row_once() {
    let bench = bench(|_, _| {}).unwrap();
    let TrainingData::Pairs(pairs) = &bench.source.training_data else { panic!("pairs") };
    assert_eq!((pairs.rows(), pairs.held_out(), pairs.candidates()), (43, 5, 1));
    let epoch = |n: u64| (0..10).map(move |i| pairs.batch(10 * n + i, 4, 1));
    let mut texts: Vec<_> = epoch(0).flat_map(|batch| batch.texts).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 40);
    assert!(epoch(0).map(|b| b.texts).ne(epoch(1).map(|b| b.texts)), "epochs differ in order");
    assert!(epoch(1).map(|b| b.texts).eq(epoch(1).map(|b| b.texts)));
    let seed = pairs.batch(0, 4, 2).texts;
    assert!(pairs.batch(0, 4, 1).texts != seed);
    // Pairs stay together: a text shares its two rare words with its positive.
    for batch in epoch(2) {
        for (text, partner) in batch.texts.iter().zip(&batch.candidates) {
            assert!(text[1..].iter().all(|id| partner.contains(id)), "{text:?} {partner:?}");
        }
    }
}

#[test]
fn a_run_starts_from_the_weights_of_another() {
    let language = Bench::new(|file| file.data.tokenizer = Some("bytes".into()));
    let first = language.out("language");
    language.train(&first, None, u64::MAX, 1).unwrap();
    let start = |tokenizer: &str| {
        bench(|file, _| {
            let started = RecipeFile { model: serde_json::Map::new(), ..file.clone() }.starting_from(Some(&first.best())).unwrap();
            *file = RecipeFile { train: TrainOptions { from: Some(first.best()), ..file.train.clone() }, ..started };
            file.model.insert("pooled_dim".into(), 5.into());
            file.data.tokenizer = Some(tokenizer.into());
        })
        .unwrap()
    };
    let bench = start("bytes");
    let folder = bench.out("run");
    bench.train(&folder, None, 0, 1).unwrap();
    let (before, after) = (fs::read(first.best()).unwrap(), fs::read(folder.last()).unwrap());
    let (before, after) = (Checkpoint::parse(&before).unwrap(), Checkpoint::parse(&after).unwrap());
    assert_eq!(after.config().pooled_dim, 5);
    for name in ["embed.weight", "blocks.1.out_proj.weight", "controller.in.weight"] {
        assert!(before.archive().tensor(name).unwrap().bytes == after.archive().tensor(name).unwrap().bytes, "{name}");
    }
    // With another vocabulary, the embedding has another shape.
    let bench = start("words");
    let error = format!("{:#}", bench.train(&bench.out("wrong"), None, u64::MAX, 1).unwrap_err());
    assert!(error.contains("embed.weight") && error.contains("best.safetensors"), "{error}");
}

#[test]
fn invalid_embedding_runs_are_rejected_in_one_sentence() {
    let refuse = |word: &str, change: &dyn Fn(&mut RecipeFile, &Path)| {
        let error = format!("{:#}", bench(|file, folder| change(file, folder)).err().unwrap());
        assert!(error.contains(word) && !error.contains('\n'), "{error}");
    };
    refuse("--teacher", &|file, _| file.objective.kind = Some(Kind::Distill));
    refuse("needs --objective distill", &|file, folder| file.objective.teacher = Some(folder.join("teacher.npy")));
    refuse("add --objective", &|file, _| (file.objective.kind, file.objective.dims) = (None, Some(vec![3])));
    refuse("no column \"reply\"", &|file, _| file.objective.columns = Some(vec!["question".into(), "reply".into()]));
    refuse("too few for batches of 30", &|file, _| file.train.batch = Some(30));
    refuse("17 numbers", &|file, _| file.objective.dims = Some(vec![17]));
    refuse("temperature is 0", &|file, _| file.objective.temperature = Some(0.0));
    refuse("set pooled_dim=14", &|file, folder| {
        taught(file, folder);
        file.objective.dims = None;
        file.model.remove("pooled_dim");
    });
    refuse("two dropout views", &|file, _| {
        file.objective.columns = Some(vec!["question".into()]);
        file.train.dropout = None;
    });
    refuse("must be one embedding per row", &|file, folder| {
        taught(file, folder);
        file.data.files = Some(vec![folder.join("pairs.tsv")]);
        file.objective.columns = Some(vec!["question".into()]);
    });
    for (x, said) in [(f32::NAN, "row 3 has the value NaN"), (f32::NEG_INFINITY, "row 3 has the value -inf")] {
        refuse(said, &|file, folder| {
            taught(file, folder);
            let path = folder.join("teacher.npy");
            let mut bytes = fs::read(&path).unwrap();
            let end = bytes.len() - (48 - 3) * 14 * size_of::<f32>();
            bytes[end - 4..end].copy_from_slice(&x.to_le_bytes());
            fs::write(&path, bytes).unwrap();
        });
    }
    refuse("--holdout", &|file, folder| file.data.validation = Some(vec![folder.join("texts.txt")]));
    refuse("one file of rows", &|file, folder| file.data.files = Some(vec![folder.join("texts.txt"), folder.join("pairs.tsv")]));
}
