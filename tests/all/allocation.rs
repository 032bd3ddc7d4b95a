//! After construction nothing is allocated: a counting heap watches a process that does nothing else.

use hh_core::session::{Options, Session};
use hh_core::train::{HyperParams, Optimizer};
use hh_tests::model::{batch, config, cpu, hyper, kinds, model, text, trainer};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// The system's heap; counts, while it is watched, how often any thread asks it for memory.
pub(crate) struct Counting;

static WATCHED: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all that it does with memory is the system heap's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if WATCHED.load(Ordering::Relaxed) {
            ASKED.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// How often the process asked for memory during `work`.
fn asked(work: impl FnOnce()) -> usize {
    ASKED.store(0, Ordering::SeqCst);
    WATCHED.store(true, Ordering::SeqCst);
    work();
    WATCHED.store(false, Ordering::SeqCst);
    ASKED.load(Ordering::SeqCst)
}

/// The fewest times that one of several rounds of `work` asked for memory: a worker thread that the system is late to
/// start asks for its own once.
fn settled(mut work: impl FnMut()) -> usize {
    work();
    (0..4).map(|_| asked(&mut work)).min().expect("rounds")
}

/// Runs a test of this module in a process of its own: other tests share the heap, and worker threads cannot be told
/// apart from theirs.
fn alone(test: &str, work: impl FnOnce()) {
    const CHILD: &str = "HH_TESTS_ALONE";
    if std::env::var_os(CHILD).is_some() {
        return work();
    }
    let mut child = Command::new(std::env::current_exe().expect("this binary"));
    let child = child.args([&format!("allocation::{test}"), "--exact", "--test-threads=1", "--nocapture"]).env(CHILD, "1");
    let output = child.output().expect("this binary runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn the_heap_counts() {
    alone("the_heap_counts", || {
        let vector = || drop(std::hint::black_box(vec![1u8; 100]));
        assert_eq!((asked(vector), asked(|| ())), (1, 0));
        assert!(asked(|| std::thread::spawn(vector).join().expect("no panic")) > 1);
    });
}

#[test]
fn a_decoding_step_allocates_nothing() {
    alone("a_decoding_step_allocates_nothing", decode);
}

fn decode() {
    for threads in [1, 2] {
        for (name, c) in kinds() {
            let mut b = cpu::<f32>(threads);
            let model = model(&mut b, &c);
            let mut session = Session::new(b, &model, Options { batch: 2, context: 40, ..Options::default() }).expect("a session");
            let ids: Vec<_> = (0..9).map(|i| text(&c, i, 2)).collect();
            let steps = || {
                for ids in &ids {
                    session.step(ids).expect("ids of the vocabulary");
                }
            };
            let count = settled(steps);
            assert_eq!(count, 0, "{name} on {threads} threads");
        }
    }
}

#[test]
fn a_training_step_allocates_nothing() {
    alone("a_training_step_allocates_nothing", train);
}

fn train() {
    let wide = config(r#""width": 48, "ffn": 80, "ssm_width": 64, "hopfield_width": 24, "attention_width": 32"#);
    for threads in [1, 2] {
        for (name, c) in kinds().into_iter().chain([("wide", wide.clone())]) {
            let b = cpu::<f32>(threads);
            let optimizer = if name == "wide" { Optimizer::Muon } else { Optimizer::AdamW };
            let mut trainer = trainer(b, &c, HyperParams { optimizer, dropout: 0.1, ..hyper(&c) }, 2, 33);
            let [tokens, targets] = batch(&c, 1, 2, 33);
            let step = || {
                trainer.accumulate(&tokens, &targets).expect("no device to lose");
                trainer.apply().expect("no device to lose");
                trainer.losses().expect("no device to lose");
            };
            let count = settled(step);
            assert_eq!(count, 0, "{name} on {threads} threads");
        }
    }
}
