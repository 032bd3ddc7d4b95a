//! PyTorch on the same GPU: a Python process that answers requests line by line.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

const SCRIPT: &str = concat!(include_str!("formulas.py"), "\n\n", include_str!("peer.py"));

/// A measurement of PyTorch.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// `None` if it failed.
    pub(crate) seconds: Option<f64>,
    pub(crate) remark: String,
}

/// A Python with PyTorch, or why there is none.
pub(crate) struct Peer {
    /// Its version, or why it is not measured.
    pub(crate) status: String,
    running: Option<Running>,
    /// End of the time limit.
    end: Instant,
}

struct Running {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// No Python, with the reason.
    pub(crate) fn none(status: &str) -> Self {
        Self { status: status.into(), running: None, end: Instant::now() }
    }

    /// Starts the Python named by `PYTHON`, or `python3`, with the reference implementation if given. Measures within `limit`.
    pub(crate) fn start(reference: Option<&Path>, limit: Duration) -> Self {
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
        let mut command = Command::new(&python);
        command.arg("-c").arg(SCRIPT).args(reference).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut child) = command.spawn() else { return Self::none(&format!("{python} cannot be started")) };
        let (requests, answers) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut running = Running { child, requests, answers: BufReader::new(answers) };
        match running.read() {
            Some((ready, version)) if ready == "ready" => {
                Self { status: format!("PyTorch {version}"), running: Some(running), end: Instant::now() + limit }
            }
            _ => {
                let _ = running.child.wait();
                Self::none(&format!("{python} has no PyTorch with access to the GPU"))
            }
        }
    }

    /// Measures a formula at a shape; `None` without PyTorch.
    pub(crate) fn measure(&mut self, name: &str, shape: &[usize]) -> Option<Answer> {
        let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
        self.measure_words(name, &shape.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// As [`measure`](Self::measure), with text arguments.
    pub(crate) fn measure_words(&mut self, name: &str, arguments: &[&str]) -> Option<Answer> {
        let running = self.running.as_mut()?;
        if Instant::now() > self.end {
            return Some(Answer { seconds: None, remark: "not measured: time limit reached".into() });
        }
        writeln!(running.requests, "{}", [&[name], arguments].concat().join("\t")).ok()?;
        let (seconds, remark) = running.read()?;
        Some(Answer { seconds: seconds.parse().ok(), remark })
    }
}

impl Running {
    /// Reads a line of two fields.
    fn read(&mut self) -> Option<(String, String)> {
        let mut line = String::new();
        self.answers.read_line(&mut line).ok()?;
        let (first, second) = line.trim_end().split_once('\t')?;
        Some((first.into(), second.into()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
