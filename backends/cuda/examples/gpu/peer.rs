//! PyTorch on the same GPU: a Python that is asked line by line.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

const SCRIPT: &str = concat!(include_str!("formulas.py"), "\n\n", include_str!("peer.py"));

/// What PyTorch made of a question.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// None where it could not.
    pub(crate) seconds: Option<f64>,
    pub(crate) remark: String,
}

/// A Python with PyTorch, or why there is none.
pub(crate) struct Peer {
    /// Its version; or why it does not answer.
    pub(crate) word: String,
    running: Option<Running>,
    /// When no more questions are asked.
    end: Instant,
}

struct Running {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Nobody.
    pub(crate) fn none(word: &str) -> Self {
        Self { word: word.into(), running: None, end: Instant::now() }
    }

    /// Starts the Python that `PYTHON` names, or `python3`, with the reference implementation if there is one. Asks for `patience`.
    pub(crate) fn start(reference: Option<&Path>, patience: Duration) -> Self {
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
        let mut command = Command::new(&python);
        command.arg("-c").arg(SCRIPT).args(reference).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut child) = command.spawn() else { return Self::none(&format!("{python} does not start")) };
        let (questions, answers) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut running = Running { child, questions, answers: BufReader::new(answers) };
        match running.read() {
            Some((ready, version)) if ready == "ready" => {
                Self { word: format!("PyTorch {version}"), running: Some(running), end: Instant::now() + patience }
            }
            _ => {
                let _ = running.child.wait();
                Self::none(&format!("{python} has no PyTorch that sees the GPU"))
            }
        }
    }

    /// None where nobody is there, or time is up.
    pub(crate) fn ask(&mut self, question: &str, of: &[usize]) -> Option<Answer> {
        let of: Vec<String> = of.iter().map(usize::to_string).collect();
        self.ask_words(question, &of.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The same with words.
    pub(crate) fn ask_words(&mut self, question: &str, of: &[&str]) -> Option<Answer> {
        let running = self.running.as_mut()?;
        if Instant::now() > self.end {
            return Some(Answer { seconds: None, remark: "not asked: time was up".into() });
        }
        writeln!(running.questions, "{}", [&[question], of].concat().join("\t")).ok()?;
        let (seconds, remark) = running.read()?;
        Some(Answer { seconds: seconds.parse().ok(), remark })
    }
}

impl Running {
    /// A line of two fields.
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
