//! Training and scoring on tasks.

use super::*;
use crate::budget::parameters;
use crate::train::{
    DataOptions, Job, ObjectiveOptions, Outcome, Progress, Provenance, Recipe, RecipeFile, RunFolder, TrainOptions, load_resume_point,
};
use hh_core::checkpoint::Checkpoint;
use hh_core::config::Config;
use hh_core::model::Model;
use hh_core::session::{Options, Session};
use hh_cpu::{Cpu, Threads};
use std::fs;

fn cpu(threads: usize) -> Cpu<f32> {
    Cpu::new(Threads::new(threads))
}

fn recipe(kind: Kind, model: &str, train: TrainOptions) -> Recipe {
    let (model, vocabulary) = (parsed::<ModelOptions>(model), kind.task().vocabulary());
    let train = TrainOptions { context: Some(kind.task().length()), ema: Some(0.0), ..train };
    let assignment = Assignment { examples: None, held_out: 300, enough: 0.995, kind };
    let complete = |fields| {
        let file = RecipeFile { model: fields, task: Some(assignment.clone()), ..RecipeFile::default() };
        file.with_flags(None, &model.set, &train, &ObjectiveOptions::default(), &DataOptions::default())?.complete(vocabulary)
    };
    complete(model.solved(|fields| Ok(complete(fields)?.model)).unwrap()).unwrap()
}

fn config(kind: &Kind, flags: &str) -> Config {
    recipe(kind.clone(), flags, TrainOptions::default()).model
}

#[test]
fn all_choices_of_paths_have_equally_many_parameters() {
    let kind = Kind::Induction(parsed(""));
    let hybrid = parameters(&config(&kind, "--paths hybrid"));
    for paths in ["ssm", "hopfield", "attention", "ssm+hopfield", "ssm,attention", "hopfield+attention"] {
        let c = config(&kind, &format!("--paths {paths}"));
        let unit = parameters(&Config { ffn: c.ffn + 1, ..c.clone() }) - parameters(&c);
        assert!(parameters(&c).abs_diff(hybrid) <= unit / 2, "{paths}: {} of {hybrid}", parameters(&c));
    }
    assert_eq!(config(&kind, "--paths hybrid").ffn, 128);
    assert_eq!(config(&kind, "--paths ssm --set ffn=30").ffn, 30);
    assert!(parameters(&config(&kind, "--parameters 200000")).abs_diff(200_000) < 200);
    assert_eq!("attention,ssm".parse::<Paths>().unwrap().to_string(), "ssm+attention");
    assert!("ssm+rnn".parse::<Paths>().unwrap_err().contains("the paths are hybrid"));
}

/// A model whose logits differ clearly between ids, unlike those of initial weights.
fn confident(c: &Config) -> Model<<Cpu<f32> as hh_core::backend::Device>::Tensor> {
    let mut model = Model::init(&mut cpu(1), c.clone(), 4).unwrap();
    model.params.embedding.table.data_mut().iter_mut().for_each(|x| *x *= 40.0);
    model
}

#[test]
fn scores_equal_those_of_stepping_through_the_examples() {
    for kind in kinds() {
        let (task, count) = (kind.task(), 7);
        let c = config(&kind, "--width 16 --depth 2");
        let model = confident(&c);
        let mut b = cpu(2);
        let mut scorer = Scorer::new(&mut b, &c, 3, task.length()).unwrap();
        let score =
            scorer.score(&mut b, &c, &model.params, Examples { task, seed: 9, stream: Stream::Exam, count }, &|| false).unwrap().unwrap();

        let mut session = Session::new(cpu(1), &model, Options { context: task.length(), ..Options::default() }).unwrap();
        let mut expected = Score::default();
        for number in 0..count {
            session.reset().unwrap();
            let [tokens, targets] = example(task, 9, Stream::Exam, number as u64);
            for (token, target) in tokens.into_iter().zip(targets) {
                let logits = session.step(&[token]).unwrap();
                if target != IGNORE {
                    let better = logits.iter().filter(|&&logit| logit > logits[target as usize]).count();
                    expected.asked += 1;
                    expected.right += u64::from(better == 0);
                    let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
                    expected.nats += sum.ln() - f64::from(logits[target as usize]);
                }
            }
        }
        let close = |score: Score, from: &str| {
            assert_eq!((score.asked, score.right), (expected.asked, expected.right), "{kind:?} {from}");
            assert!((score.nats - expected.nats).abs() < 1e-3 * expected.nats, "{kind:?} {from}: {} and {}", score.nats, expected.nats);
        };
        close(score, "in parallel");
        let [asked, same] = [kind.clone(), kind.clone()];
        let boxed: Box<dyn Task> = match same {
            Kind::Mqar(task) => Box::new(task),
            Kind::Copy(task) => Box::new(task),
            Kind::SelectiveCopy(task) => Box::new(task),
            Kind::Induction(task) => Box::new(task),
        };
        let row = Exam { name: asked.name(), value: 1, task: boxed, examples: count };
        close(exam(cpu(1), &model, &row, 9, &|| false).unwrap().unwrap().score, "recurrently");
        assert_eq!(exam(cpu(1), &model, &row, 9, &|| true).unwrap(), None);
    }
}

fn train(recipe: &Recipe, folder: &RunFolder, until: u64, threads: usize) -> Outcome {
    let resume_point = folder.resume().exists().then(|| load_resume_point(&folder.resume()).unwrap());
    let from = Provenance { tokenizer: None, origins: Vec::new(), split: "others".into(), command: "a test".into() };
    let job = Job { recipe, from: &from, folder, trackers: &[], stop: &|step| step >= until };
    solve(cpu(threads), &job, recipe.task.as_ref().unwrap(), resume_point.as_ref(), Progress::hidden()).unwrap()
}

#[test]
fn a_hopfield_memory_learns_recall_and_training_stops_early() {
    let kind = Kind::Mqar(parsed("--length 16 --pairs 2 --vocabulary 32"));
    let options = TrainOptions {
        steps: Some(1500),
        batch: Some(32),
        lr: Some(1e-2),
        eval_every: Some(50),
        eval_tokens: Some(3200),
        ..TrainOptions::default()
    };
    let recipe = recipe(kind, "--paths hopfield --width 32 --layers 1", options);
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| RunFolder::create(Some(&folder.path().join(name)), "").unwrap();
    let (whole, parts) = (out("whole"), out("parts"));
    let outcome = train(&recipe, &whole, u64::MAX, 1);
    let accuracy = outcome.whole.unwrap().accuracy.unwrap();
    assert!(accuracy >= 0.99, "{accuracy} after {} steps", outcome.step);
    assert!(outcome.step < 1500 && outcome.step.is_multiple_of(50), "stopped at {}", outcome.step);
    assert_eq!(train(&recipe, &whole, u64::MAX, 1).step, outcome.step, "a solved run is not trained further");

    let bytes = fs::read(whole.best()).unwrap();
    let checkpoint = Checkpoint::parse(&bytes).unwrap();
    assert_eq!(checkpoint.config(), &recipe.model);
    let mut b = cpu(1);
    let model = Model::from_checkpoint(&mut b, &checkpoint).unwrap();
    let graded: Vec<_> =
        recipe.task.as_ref().unwrap().kind.task().exams().iter().map(|row| exam(cpu(1), &model, row, 1, &|| false)).collect();
    let graded: Vec<_> = graded.into_iter().map(|row| row.unwrap().unwrap()).collect();
    assert!(graded[0].score.accuracy() >= 0.98, "{graded:?}");
    let report = whole.path().join("task.json");
    Report::new(&recipe, &outcome, &graded).unwrap().write(&report).unwrap();
    let said: serde_json::Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    assert_eq!((&said["accuracy"], &said["steps"]), (&accuracy.into(), &outcome.step.into()));
    assert_eq!((&said["task"]["mqar"]["pairs"], &said["exam"][0]["pairs"]), (&2.into(), &2.into()));
    assert_eq!(said["parameters"], parameters(&recipe.model));

    assert!(train(&recipe, &parts, 33, 2).whole.is_none());
    let again = Recipe { task: recipe.task.clone(), ..load_resume_point(&parts.resume()).unwrap().recipe };
    assert_eq!(again, recipe, "the recipe is in the file");
    train(&again, &parts, u64::MAX, 1);
    assert!(fs::read(whole.last()).unwrap() == fs::read(parts.last()).unwrap(), "a resumed run equals an uninterrupted one");
}
