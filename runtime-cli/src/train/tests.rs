mod ranks;
#[cfg(feature = "tables")]
mod vectors;

use super::*;
use crate::ranks::Ranks;
use anyhow::Result;
use hh::tokenizer::from_json;
use hh_core::checkpoint::Checkpoint;
use hh_cpu::{Cpu, Threads};
use std::fs;
use std::path::Path;

/// All three paths, two segments, dropout, averaging, two micro-batches and the flow head: everything that resuming must restore.
const TINY: &str = r#"
[model]
width = 16
layers = 2
ffn = 24
head_dim = 8
ssm_width = 8
hopfield_width = 8
attention_width = 8
hopfield_depths = [2, 1]
hopfield_slots = 2
segments = 2
controller_width = 8
[train]
steps = 20
batch = 2
context = 12
accumulate = 2
lr = 0.01
dropout = 0.1
smoothing = 0.01
z_weight = 1e-4
flow_weight = 0.1
eval_every = 5
eval_tokens = 100
log_every = 2
"#;

const TEXT: &str = "the cat sat on the mat and the dog lay on the log; the cat saw the dog and the dog saw the cat\n";

struct Bench {
    folder: tempfile::TempDir,
    recipe: Recipe,
    source: Source,
}

impl Bench {
    fn new(change: impl FnOnce(&mut RecipeFile)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("text.txt"), TEXT.repeat(8)).unwrap();
        let mut file: RecipeFile = toml::from_str(TINY).unwrap();
        file.data.files = Some(vec![folder.path().join("text.txt")]);
        change(&mut file);
        Self::open(folder, &file).unwrap()
    }

    fn open(folder: tempfile::TempDir, file: &RecipeFile) -> Result<Self> {
        let source = Source::open(&file.data(), file.complete(256)?.objective.as_ref(), None)?;
        let recipe = file.complete(source.tokenizer.vocab_size())?;
        if let TrainingData::Pairs(pairs) = &source.training_data {
            pairs.fits(&recipe)?;
        }
        Ok(Self { folder, recipe, source })
    }

    fn out(&self, name: &str) -> RunFolder {
        RunFolder::create(Some(&self.folder.path().join(name)), "").unwrap()
    }

    fn train(&self, folder: &RunFolder, resume_point: Option<&ResumePoint>, until: u64, threads: usize) -> Result<Outcome> {
        let from = Provenance {
            tokenizer: Some(self.source.tokenizer.to_json()),
            origins: self.source.origins.clone(),
            split: self.source.split.clone(),
            command: "a test".into(),
        };
        let stop = |step| step >= until;
        let job = Job { recipe: &self.recipe, from: &from, folder, trackers: &[Tracker::Csv], stop: &stop };
        let threads = Threads::new(threads);
        run(Cpu::<f32>::new(threads.clone()), &job, &self.source.training_data, resume_point, Progress::hidden(), &mut Ranks::alone())
    }

    fn go_on(&self, folder: &RunFolder, until: u64, threads: usize) -> Result<Outcome> {
        self.train(folder, Some(&load_resume_point(&folder.resume())?), until, threads)
    }
}

/// The records of `metrics.jsonl` without what depends on the machine and the number of ranks.
fn timeless(folder: &RunFolder) -> Vec<Record> {
    Metrics::open(&folder.metrics(), u64::MAX)
        .unwrap()
        .records()
        .iter()
        .map(|record| match record {
            Record::Step(step) => Record::Step(Step { tokens_per_second: 0.0, bytes_sent: None, ..*step }),
            other => *other,
        })
        .collect()
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    resumes_bit_for_bit(&Bench::new(|_| {}));
}

#[test]
fn a_memory_that_runs_on_through_the_text_is_resumed() {
    resumes_bit_for_bit(&Bench::new(|file| {
        file.model.insert("episodic_width".into(), 4.into());
        file.train.episodic_items = Some(30);
    }));
}

fn resumes_bit_for_bit(bench: &Bench) {
    let (whole, parts) = (bench.out("whole"), bench.out("parts"));
    let outcome = bench.train(&whole, None, u64::MAX, 2).unwrap();
    let TrainingData::Tokens(data) = &bench.source.training_data else { panic!("tokens") };
    assert!(outcome.whole.is_some_and(|w| w.scored + 1 == data.validation.len()), "{outcome:?}");

    // In three parts, two of which end between validations, with other numbers of threads.
    assert!(bench.train(&parts, None, 7, 1).unwrap().whole.is_none());
    assert_eq!(bench.go_on(&parts, 13, 2).unwrap().step, 13);
    assert!(bench.go_on(&parts, u64::MAX, 1).unwrap().whole.is_some());

    for file in ["best.safetensors", "last.safetensors", "resume.safetensors"] {
        let read = |folder: &RunFolder| fs::read(folder.path().join(file)).unwrap();
        assert!(read(&whole) == read(&parts), "{file} differs");
    }
    assert_eq!(timeless(&whole), timeless(&parts));
    assert!(timeless(&whole).len() > 10);
    let rows = |folder: &RunFolder| fs::read_to_string(folder.csv()).unwrap().lines().count() - 1;
    assert_eq!([rows(&whole), rows(&parts)], [timeless(&whole).len() + 1; 2], "each record once, and the final validation");
}

#[test]
fn a_run_resumes_from_its_resume_file_alone() {
    let bench = Bench::new(|_| {});
    let (whole, crashed) = (bench.out("whole"), bench.out("crashed"));
    bench.train(&whole, None, u64::MAX, 1).unwrap();
    bench.train(&crashed, None, 10, 1).unwrap();
    // As after a power failure: records and checkpoints of steps after the resume file.
    fs::write(crashed.best(), "cut off").unwrap();
    fs::remove_file(crashed.last()).unwrap();
    let mut log = fs::read_to_string(crashed.metrics()).unwrap();
    log += "{\"step\":12,\"validation\":0.001,\"scored\":9}\n{\"step\":14,\"tok";
    fs::write(crashed.metrics(), log).unwrap();
    bench.go_on(&crashed, u64::MAX, 1).unwrap();
    assert_eq!(timeless(&whole), timeless(&crashed));
    assert!(fs::read(whole.resume()).unwrap() == fs::read(crashed.resume()).unwrap());
}

#[test]
fn a_run_learns_and_its_checkpoint_records_its_origin() {
    let bench = Bench::new(|file| file.train.steps = Some(60));
    let folder = bench.out("run");
    let outcome = bench.train(&folder, None, u64::MAX, 1).unwrap();
    let best = outcome.best.unwrap();
    let first = timeless(&folder).iter().find_map(|r| if let Record::Step(r) = r { Some(r.loss()) } else { None }).unwrap();
    assert!(best.nll < first - 0.5, "{first} to {}", best.nll);

    let bytes = fs::read(folder.best()).unwrap();
    let checkpoint = Checkpoint::parse(&bytes).unwrap();
    let note = |key: &str| checkpoint.metadata()[key].as_str();
    assert_eq!(checkpoint.config(), &bench.recipe.model);
    assert_eq!(checkpoint.step(), best.step);
    assert_eq!(note("validation_nll").parse(), Ok(best.nll));
    assert_eq!(note("weights"), if best.average { "moving average" } else { "as trained" });
    assert_eq!(note("tokens_seen"), (best.step * 2 * 12 * 2).to_string());
    assert!(note("data").contains("text.txt") && note("data").contains("sha256"));
    assert_eq!(from_json(checkpoint.tokenizer_json().unwrap()).unwrap().to_json(), bench.source.tokenizer.to_json());
    #[cfg(feature = "plots")]
    {
        let svg = fs::read_to_string(folder.curve()).unwrap();
        for word in ["<svg", "validation", "training", "Hopfield", "nats per token"] {
            assert!(svg.contains(word), "{word}");
        }
    }
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_and_keeps_its_checkpoints() {
    let bench = Bench::new(|_| {});
    let folder = bench.out("run");
    bench.train(&folder, None, 10, 1).unwrap();
    let kept = fs::read(folder.resume()).unwrap();
    let mut wild = Bench { folder: tempfile::tempdir().unwrap(), recipe: bench.recipe.clone(), source: bench.source };
    (wild.recipe.train.lr, wild.recipe.train.clip) = (1e30, 0.0);
    let error = wild.go_on(&folder, u64::MAX, 1).unwrap_err().to_string();
    let command = format!("train --config {0}/config.toml --from {0} --lr ", folder.path().display());
    assert!(error.contains("diverged at step 1") && error.contains(&command) && error.contains("step 10"), "{error}");
    assert!(fs::read(folder.resume()).unwrap() == kept);
}

#[test]
fn weights_that_are_not_finite_are_not_saved_and_said_to_be_diverged() {
    let bench = Bench::new(|file| (file.train.eval_every, file.train.save_every) = (Some(100), Some(1)));
    let folder = bench.out("run");
    bench.train(&folder, None, 3, 1).unwrap();
    let kept = fs::read(folder.resume()).unwrap();
    let mut wild = Bench { folder: tempfile::tempdir().unwrap(), recipe: bench.recipe.clone(), source: bench.source };
    // The loss of the step is finite; its update is not.
    (wild.recipe.train.lr, wild.recipe.train.min_lr, wild.recipe.train.warmup, wild.recipe.train.adam_eps) = (3e38, 3e38, 0, 1e-8);
    wild.recipe.train.weight_decay = 100.0;
    let error = wild.go_on(&folder, u64::MAX, 1).unwrap_err().to_string();
    assert!(error.contains("diverged at step 4: the tensor") && error.contains("step 3"), "{error}");
    assert!(error.contains("last.safetensors --lr"), "there are no best weights: {error}");
    assert!(fs::read(folder.resume()).unwrap() == kept);
}

#[test]
fn a_checkpoint_that_cannot_be_written_keeps_the_previous_one() {
    let bench = Bench::new(|_| {});
    let folder = bench.out("run");
    bench.train(&folder, None, 10, 1).unwrap();
    let kept = fs::read(folder.resume()).unwrap();
    fs::remove_file(folder.last()).unwrap();
    fs::create_dir(folder.last()).unwrap();
    let error = format!("{:#}", bench.go_on(&folder, u64::MAX, 1).unwrap_err());
    assert!(error.contains("step 15 could not be saved") && error.contains("step 10 is intact"), "{error}");
    assert!(fs::read(folder.resume()).unwrap() == kept);
}

#[test]
fn a_folder_that_is_not_empty_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = RunFolder::create(Some(folder.path()), "").unwrap_err().to_string();
    assert!(error.contains("is not empty"), "{error}");
    let error = RunFolder::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("no resume.safetensors"), "{error}");
    assert!(RunFolder::open(Path::new("/no/such")).unwrap_err().to_string().contains("is not a folder"));
}

#[test]
fn a_damaged_resume_file_is_rejected() {
    let bench = Bench::new(|_| {});
    let folder = bench.out("run");
    bench.train(&folder, None, 5, 1).unwrap();
    let bytes = fs::read(folder.resume()).unwrap();
    fs::write(folder.resume(), &bytes[..bytes.len() / 2]).unwrap();
    let error = format!("{:#}", load_resume_point(&folder.resume()).err().unwrap());
    assert!(error.contains("cannot resume from") && error.contains("cut short"), "{error}");
    let error = format!("{:#}", load_resume_point(&folder.best()).err().unwrap());
    assert!(error.contains("no \"recipe\""), "{error}");
}
