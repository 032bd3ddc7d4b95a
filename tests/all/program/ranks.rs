//! Several processes that train together, started as torchrun and srun start them.

use super::{TRAIN, command, desk, is_refusal, stopping::signal, tensors, text_of, weights, words, works};
use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Variables of all launchers, none of which a test inherits.
const VARIABLES: [&str; 16] = [
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
    "TORCHELASTIC_RUN_ID",
    "TORCHELASTIC_USE_AGENT_STORE",
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_SIZE",
    "PMI_RANK",
    "PMI_SIZE",
    "SLURM_PROCID",
    "SLURM_NTASKS",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_STEP_ID",
    "SLURM_JOB_ID",
];

/// The program with these variables, `NAME=value`, and no other launcher's.
fn with(here: &Path, line: &str, variables: &[String]) -> Command {
    let mut command = command(here, &words(line));
    VARIABLES.iter().for_each(|name| _ = command.env_remove(name));
    command.envs(variables.iter().map(|pair| pair.split_once('=').expect("a name and a value")));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// As many processes, as torchrun starts them.
fn started(here: &Path, line: &str, size: usize) -> Vec<Child> {
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a free port").port();
    let start = |rank: usize| {
        let variables =
            [format!("RANK={rank}"), format!("WORLD_SIZE={size}"), "MASTER_ADDR=127.0.0.1".into(), format!("MASTER_PORT={port}")];
        with(here, line, &variables).spawn().expect("the program starts")
    };
    (0..size).map(start).collect()
}

/// What they said, in the order of the ranks.
fn ended(children: Vec<Child>) -> Vec<Output> {
    children.into_iter().map(|child| child.wait_with_output().expect("it ends")).collect()
}

/// Runs as many processes, all of which must succeed.
fn work(here: &Path, line: &str, size: usize) -> Vec<Output> {
    let outputs = ended(started(here, line, size));
    for (rank, output) in outputs.iter().enumerate() {
        assert!(output.status.success(), "rank {rank} of `{line}` ended with {}: {}", output.status, text_of(&output.stderr));
    }
    outputs
}

/// Waits until the metrics of a run have as many lines.
fn logged(here: &Path, run: &str, lines: usize, children: &mut [Child]) {
    let metrics = here.join(run).join("metrics.jsonl");
    let began = Instant::now();
    while std::fs::read_to_string(&metrics).map_or(0, |m| m.lines().count()) < lines {
        let alive = children.iter_mut().all(|child| child.try_wait().expect("a child").is_none());
        assert!(began.elapsed() < Duration::from_secs(120) && alive, "it never logged {lines} lines");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Tensors of both runs, the best weights and the state to resume from included.
fn same(here: &Path, one: &str, other: &str) {
    for file in ["best", "last", "resume"] {
        let [a, b] = [one, other].map(|run| tensors(here, &format!("{run}/{file}.safetensors")));
        assert!(a == b, "{file} of {one} and {other} differ");
    }
}

#[test]
fn two_processes_train_as_one_that_accumulates() {
    let folder = desk();
    let here = folder.path();
    works(here, &format!("{TRAIN} --steps 30 --accumulate 2 --out one"));
    let outputs = work(here, &format!("{TRAIN} --steps 30 --out two"), 2);
    same(here, "one", "two");
    let [first, second] = [0, 1].map(|rank| text_of(&outputs[rank].stdout));
    assert!(first.contains("ranks        2, ") && first.contains("× the least possible"), "{first}");
    assert!(second.is_empty() && outputs[1].stderr.is_empty(), "rank 1 says nothing: {second} {}", text_of(&outputs[1].stderr));
    let metrics = std::fs::read_to_string(here.join("two/metrics.jsonl")).expect("metrics");
    assert!(metrics.lines().any(|line| line.contains("bytes_sent")), "{metrics}");
    let [a, b] = ["one", "two"].map(|run| {
        let evaluations = std::fs::read_to_string(here.join(run).join("metrics.jsonl")).expect("metrics");
        evaluations.lines().filter(|line| line.contains("validation")).map(str::to_owned).collect::<Vec<_>>()
    });
    assert!(a == b && a.len() > 20, "the validations are the same figures");
}

#[cfg(unix)]
#[test]
fn a_signal_to_one_rank_stops_all_and_another_number_of_ranks_goes_on() {
    let folder = desk();
    let here = folder.path();
    works(here, &format!("{TRAIN} --steps 240 --accumulate 2 --log-every 1 --out one"));
    for (name, rank) in [("TERM", 1), ("INT", 0)] {
        let run = name.to_lowercase();
        let mut children = started(here, &format!("{TRAIN} --steps 240 --log-every 1 --out {run}"), 2);
        logged(here, &run, 5, &mut children);
        signal(name, children[rank].id());
        let outputs = ended(children);
        assert!(outputs.iter().all(|output| output.status.code() == Some(130)), "{outputs:?}");
        assert!(text_of(&outputs[0].stdout).contains(&format!("--resume {run}")), "{outputs:?}");
        assert!(weights(here, &run) != weights(here, "one"), "it was stopped before its end");
    }
    // One goes on as two processes, one as one.
    work(here, "train --resume term --threads 1", 2);
    works(here, "train --resume int --threads 1");
    same(here, "one", "term");
    same(here, "one", "int");
    let output = &ended(started(here, "train --resume int", 3))[0];
    is_refusal("three ranks", output, &["2 micro-batches, too few for 3 ranks"]);
}

/// At two moments; `tests/kill-ranks.sh` does so at ten.
#[cfg(unix)]
#[test]
fn a_rank_that_is_killed_ends_the_others_and_nothing_is_lost() {
    let folder = desk();
    let here = folder.path();
    works(here, &format!("{TRAIN} --steps 120 --accumulate 2 --log-every 1 --out one"));
    for victim in 0..2 {
        let run = format!("killed-{victim}");
        let mut children = started(here, &format!("{TRAIN} --steps 120 --log-every 1 --save-every 3 --out {run}"), 2);
        logged(here, &run, 8, &mut children);
        signal("KILL", children[victim].id());
        let began = Instant::now();
        let outputs = ended(children);
        assert!(began.elapsed() < Duration::from_secs(10), "the other rank ends within seconds");
        let survivor = &outputs[1 - victim];
        is_refusal(
            "the other rank",
            survivor,
            &[&format!("rank {victim} has ended, so the run ends after step"), "checkpoint", "--resume"],
        );
        work(here, &format!("train --resume {run} --threads 1"), 2);
        same(here, "one", &run);
    }
}

#[test]
fn an_environment_that_is_half_set_or_contradicts_itself_is_refused() {
    let folder = desk();
    let here = folder.path();
    for (variables, said) in [
        ("RANK=0", "WORLD_SIZE is not"),
        ("WORLD_SIZE=2", "RANK is not"),
        ("RANK=1 WORLD_SIZE=2 MASTER_PORT=29500", "MASTER_ADDR is not set"),
        ("OMPI_COMM_WORLD_SIZE=2", "OMPI_COMM_WORLD_RANK is not"),
        ("SLURM_JOB_ID=1 SLURM_STEP_ID=0 SLURM_PROCID=0", "SLURM_NTASKS is not"),
        ("RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=1 PMI_RANK=1 PMI_SIZE=2", "PMI_RANK and PMI_SIZE are 1 and 2"),
    ] {
        let variables: Vec<String> = variables.split_whitespace().map(String::from).collect();
        let line = format!("{TRAIN} --steps 2 --out run");
        let output = with(here, &line, &variables).output().expect("the program starts");
        is_refusal(&variables.join(" "), &output, &[said]);
        assert!(!here.join("run").exists(), "{variables:?}");
    }
    // Inside of a job of SLURM, but not started by srun.
    let variables = ["SLURM_JOB_ID=1", "SLURM_NTASKS=4", "SLURM_PROCID=0"].map(String::from);
    let output = with(here, &format!("{TRAIN} --steps 2 --out run"), &variables).output().expect("the program starts");
    assert!(output.status.success(), "{}", text_of(&output.stderr));
    assert!(text_of(&output.stderr).contains("one process, although SLURM_NTASKS is 4"), "{}", text_of(&output.stderr));
}

#[test]
fn ranks_that_do_not_have_the_same_are_refused() {
    let folder = desk();
    let here = folder.path();
    std::fs::write(here.join("other.txt"), super::TEXT.repeat(41)).expect("memory");
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a free port").port();
    let start = |rank: usize, line: &str| {
        let variables = [format!("RANK={rank}"), "WORLD_SIZE=2".into(), "MASTER_ADDR=localhost".into(), format!("MASTER_PORT={port}")];
        with(here, line, &variables).spawn().expect("the program starts")
    };
    let line = format!("{TRAIN} --steps 2 --out run");
    for (other, said) in [(line.replace("text.txt", "other.txt"), "another text"), (format!("{line} --seed 7"), "another recipe")] {
        let outputs = ended(vec![start(0, &line), start(1, &other)]);
        for output in &outputs {
            is_refusal(&other, output, &["rank 1 has", said, "than rank 0"]);
        }
        assert!(!here.join("run").exists());
    }
    for (line, said) in [("train --data -", "standard input"), ("train --backend cuda", "cpu backend only")] {
        let outputs = ended(vec![start(0, line), start(1, line)]);
        outputs.iter().for_each(|output| is_refusal(line, output, &[said]));
    }
}
