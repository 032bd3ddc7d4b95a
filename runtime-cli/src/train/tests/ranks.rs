//! Several ranks, as threads of this process, against one that accumulates.

use super::*;
use crate::ranks::{ThreadRank, threads};

impl Bench {
    /// Trains on as many ranks; the outcomes in their order. `stop` gets the rank and the step.
    pub(super) fn together(
        &self,
        folder: &RunFolder,
        resume: bool,
        size: usize,
        stop: impl Fn(usize, u64) -> bool + Sync,
    ) -> Vec<Result<Outcome>> {
        let rank = |peers: ThreadRank, rank: usize| {
            let mut ranks = Ranks::over(peers);
            let from = Provenance {
                tokenizer: Some(self.source.tokenizer.to_json()),
                origins: self.source.origins.clone(),
                split: self.source.split.clone(),
                command: "a test".into(),
            };
            let resume_point = resume.then(|| load_resume_point(&folder.resume()).unwrap());
            let stop = |step| stop(rank, step);
            let own = RunFolder::at(folder.path());
            let job = Job { recipe: &self.recipe, from: &from, folder: if rank == 0 { folder } else { &own }, trackers: &[], stop: &stop };
            let data = &self.source.training_data;
            run(Cpu::<f32>::new(Threads::new(1)), &job, data, resume_point.as_ref(), Progress::hidden(), &mut ranks)
        };
        let rank = &rank;
        std::thread::scope(|scope| {
            let each = threads(size).into_iter().enumerate().map(|(i, peers)| scope.spawn(move || rank(peers, i)));
            each.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }
}

/// Checkpoints and metrics of two runs are the same.
pub(super) fn same(one: &RunFolder, other: &RunFolder, which: &str) {
    for file in ["best.safetensors", "last.safetensors", "resume.safetensors"] {
        let read = |folder: &RunFolder| fs::read(folder.path().join(file)).unwrap();
        assert!(read(one) == read(other), "{which}: {file} differs");
    }
    assert_eq!(timeless(one), timeless(other), "{which}");
}

#[test]
fn ranks_of_one_micro_batch_have_the_bits_of_one_that_accumulates_them() {
    for (size, optimizer) in [(2, Optimizer::Muon), (3, Optimizer::Adamw), (4, Optimizer::Adamw)] {
        let bench = Bench::new(|file| {
            file.train.accumulate = Some(size);
            file.train.optimizer = Some(optimizer);
        });
        let (one, several) = (bench.out("one"), bench.out("several"));
        let alone = bench.train(&one, None, u64::MAX, 2).unwrap();
        let outcomes = bench.together(&several, false, size, |_, _| false);
        for outcome in outcomes {
            let outcome = outcome.unwrap();
            assert_eq!((outcome.step, outcome.best, outcome.whole), (alone.step, alone.best, alone.whole));
        }
        same(&one, &several, &format!("{size} ranks, {optimizer:?}"));
    }
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    let bench = Bench::new(|file| file.train.accumulate = Some(4));
    let (one, changing, again) = (bench.out("one"), bench.out("changing"), bench.out("again"));
    bench.train(&one, None, u64::MAX, 1).unwrap();
    // Any rank may stop all of them.
    for (resume, size, until) in [(false, 4, 3), (true, 2, 9), (true, 1, 14), (true, 4, u64::MAX)] {
        let outcomes = bench.together(&changing, resume, size, |rank, step| rank == size - 1 && step >= until);
        assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_ok_and(|o| o.step == until.min(20))), "{outcomes:?}");
    }
    same(&one, &changing, "4, 2, 1 and 4 ranks");
    // Ranks that do not have a power of two of micro-batches each sum in another order, the same every time.
    bench.together(&again, false, 3, |_, _| false).into_iter().for_each(|outcome| assert!(outcome.is_ok()));
    let twice = bench.out("twice");
    bench.together(&twice, false, 3, |_, _| false).into_iter().for_each(|outcome| assert!(outcome.is_ok()));
    same(&again, &twice, "3 ranks twice");
}

#[test]
fn a_rank_that_fails_ends_the_others_and_a_checkpoint_of_the_last_step_is_saved() {
    let bench = Bench::new(|file| (file.train.accumulate, file.train.save_every) = (Some(3), Some(100)));
    let (one, cut) = (bench.out("one"), bench.out("cut"));
    bench.train(&one, None, u64::MAX, 1).unwrap();
    // Rank 2 cannot go on at step 8: to the others, it is a connection that ends.
    let dead = |rank: usize, step: u64| {
        assert!(rank != 2 || step < 8 || std::thread::panicking(), "rank 2 dies");
        false
    };
    let outcomes = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bench.together(&cut, false, 3, dead)));
    assert!(outcomes.is_err(), "a thread has panicked");
    let point = load_resume_point(&cut.resume()).unwrap();
    assert_eq!(point.step, 8);
    for outcome in bench.together(&cut, true, 3, |_, _| false) {
        outcome.unwrap();
    }
    same(&one, &cut, "after a failure");
}

#[test]
fn the_error_of_a_lost_rank_names_it_and_what_is_kept() {
    let bench = Bench::new(|file| file.train.accumulate = Some(2));
    let folder = bench.out("run");
    let mut both = threads(2);
    // Rank 1 is gone before the first step.
    drop(both.pop());
    let from = Provenance { tokenizer: None, origins: Vec::new(), split: String::new(), command: String::new() };
    let job = Job { recipe: &bench.recipe, from: &from, folder: &folder, trackers: &[], stop: &|_| false };
    let mut ranks = Ranks::over(both.remove(0));
    let outcome = run(Cpu::<f32>::new(Threads::new(1)), &job, &bench.source.training_data, None, Progress::hidden(), &mut ranks);
    let error = format!("{:#}", outcome.unwrap_err());
    assert!(error.starts_with("rank 1 has ended, so the run ends after step 0; the checkpoint of step 0 is intact"), "{error}");
}

#[test]
fn more_ranks_than_micro_batches_are_refused() {
    let bench = Bench::new(|file| file.train.accumulate = Some(2));
    let error = bench.recipe.for_ranks(3).unwrap_err().to_string();
    assert!(error.contains("2 micro-batches, too few for 3 ranks"), "{error}");
    let bench = Bench::new(|file| {
        file.model.insert("episodic_width".into(), 4.into());
        (file.train.episodic_items, file.train.accumulate) = (Some(30), Some(2));
    });
    let error = bench.recipe.for_ranks(2).unwrap_err().to_string();
    assert!(error.contains("--episodic-items"), "{error}");
    assert!(bench.recipe.for_ranks(1).is_ok());
}

/// The bytes that leave rank 0, beside the fewest with which ranks can sum.
#[test]
fn a_step_sends_little_more_than_the_gradients() {
    let bench = Bench::new(|file| (file.train.accumulate, file.train.log_every) = (Some(2), Some(1000)));
    let folder = bench.out("run");
    let outcomes = bench.together(&folder, false, 2, |_, _| false);
    let parameters: usize = hh_core::model::shapes(&bench.recipe.model).iter().map(|(_, shape)| shape.count()).sum();
    let least = 2.0 / 2.0 * 4.0 * parameters as f64;
    let sent = outcomes[0].as_ref().unwrap().bytes_sent;
    assert!(sent >= least && sent < 1.02 * least, "{sent} bytes for {least}");
    let records = Metrics::open(&folder.metrics(), u64::MAX).unwrap();
    let logged = records.records().iter().find_map(|r| if let Record::Step(step) = r { step.bytes_sent } else { None });
    assert!(logged.is_some_and(|bytes| bytes as f64 > least), "{logged:?}");
}

#[test]
fn ranks_with_local_steps_are_resumed_bit_for_bit() {
    let bench = Bench::new(|file| {
        (file.train.accumulate, file.train.local_steps) = (Some(2), Some(5));
        (file.train.save_every, file.train.log_every) = (Some(10), Some(3));
    });
    let (whole, parts) = (bench.out("whole"), bench.out("parts"));
    let found = bench.together(&whole, false, 2, |_, _| false);
    let [first, second] = [0, 1].map(|rank| found[rank].as_ref().unwrap());
    assert!(first.whole == second.whole && first.best == second.best, "all have the same weights after the last step");
    // The signal comes in the middle of a round, which is finished.
    for outcome in bench.together(&parts, false, 2, |rank, step| rank == 1 && step >= 7) {
        assert_eq!(outcome.unwrap().step, 10);
    }
    let point = load_resume_point(&parts.resume()).unwrap();
    assert_eq!(point.ranks, Some(2));
    bench.together(&parts, true, 2, |_, _| false).into_iter().for_each(|outcome| assert!(outcome.is_ok()));
    same(&whole, &parts, "local steps");
    // Apart from each other, ranks learn something else than together.
    let together = Bench::new(|file| file.train.accumulate = Some(2));
    let other = together.out("other");
    together.together(&other, false, 2, |_, _| false).into_iter().for_each(|outcome| assert!(outcome.is_ok()));
    assert!(fs::read(whole.last()).unwrap() != fs::read(other.last()).unwrap());
}

#[test]
fn ranks_with_local_steps_send_little_and_learn() {
    let bench = Bench::new(|file| {
        (file.train.accumulate, file.train.local_steps, file.train.steps) = (Some(2), Some(10), Some(100));
        (file.train.eval_every, file.train.log_every) = (Some(20), Some(100));
    });
    let folder = bench.out("run");
    let outcomes = bench.together(&folder, false, 2, |_, _| false);
    let outcome = outcomes[0].as_ref().unwrap();
    let parameters: usize = hh_core::model::shapes(&bench.recipe.model).iter().map(|(_, shape)| shape.count()).sum();
    // Weights and averages in every tenth step.
    let expected = 2.0 * 4.0 * parameters as f64 / 10.0;
    assert!((0.99..1.05).contains(&(outcome.bytes_sent / expected)), "{} bytes for {expected}", outcome.bytes_sent);
    assert!(outcome.best.unwrap().nll < 2.3, "{outcome:?}");
}

#[test]
fn validations_in_the_middle_of_local_steps_are_refused() {
    let mut recipe = Bench::new(|file| file.train.local_steps = Some(5)).recipe;
    recipe.train.save_every = 7;
    let error = recipe.validate().unwrap_err().to_string();
    assert!(error.contains("save_every is 7") && error.contains("multiple"), "{error}");
}
