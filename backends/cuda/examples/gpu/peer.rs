//! PyTorch on the same GPU: a Python process that answers requests line by line.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
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

/// Time limit of one question; the Python that exceeds it is killed, and another started for the next.
const QUESTION: Duration = Duration::from_secs(40);
/// Time limit for PyTorch to be imported.
const START: Duration = Duration::from_secs(60);

/// A Python with PyTorch, or why there is none.
pub(crate) struct Peer {
    /// Its version, or why it is not measured.
    pub(crate) status: String,
    python: String,
    script: String,
    reference: Option<PathBuf>,
    /// None if there is no PyTorch, or if it was killed.
    running: Option<Running>,
    usable: bool,
    /// Number of questions so far, which the answers repeat.
    asked: u64,
    question: Duration,
    /// End of the time limit.
    end: Instant,
}

struct Running {
    child: Child,
    requests: ChildStdin,
    /// Lines of its output, sent by a thread.
    lines: Receiver<String>,
}

impl Peer {
    /// No Python, with the reason.
    pub(crate) fn none(status: &str) -> Self {
        Self {
            status: status.into(),
            python: String::new(),
            script: String::new(),
            reference: None,
            running: None,
            usable: false,
            asked: 0,
            question: QUESTION,
            end: Instant::now(),
        }
    }

    /// Starts the Python named by `PYTHON`, or `python3`, with the reference implementation if given. Measures within `limit`.
    pub(crate) fn start(reference: Option<&Path>, limit: Duration) -> Self {
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
        Self { question: QUESTION, ..Self::run(python, SCRIPT, reference, limit) }
    }

    fn run(python: String, script: &str, reference: Option<&Path>, limit: Duration) -> Self {
        let mut peer = Self { python, script: script.into(), reference: reference.map(Path::to_path_buf), ..Self::none("") };
        peer.end = Instant::now() + limit;
        match peer.restart() {
            Ok(version) => (peer.status, peer.usable) = (format!("PyTorch {version}"), true),
            Err(why) => peer.status = why,
        }
        peer
    }

    /// Starts a process; returns its version of PyTorch.
    fn restart(&mut self) -> Result<String, String> {
        let mut command = Command::new(&self.python);
        command.arg("-c").arg(&self.script).args(&self.reference).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("{} cannot be started: {e}", self.python))?;
        let (requests, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut running = Running { child, requests, lines };
        let version =
            running.answer("ready", START).map_err(|why| format!("{} has no PyTorch with access to the GPU: {why}", self.python))?;
        self.running = Some(running);
        Ok(version)
    }

    /// Measures a formula at a shape; `None` without PyTorch.
    pub(crate) fn measure(&mut self, name: &str, shape: &[usize]) -> Option<Answer> {
        let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
        self.measure_words(name, &shape.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// As [`measure`](Self::measure), with text arguments.
    pub(crate) fn measure_words(&mut self, name: &str, arguments: &[&str]) -> Option<Answer> {
        if !self.usable {
            return None;
        }
        let unmeasured = |why: String| Some(Answer { seconds: None, remark: format!("not measured: {why}") });
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return unmeasured("time limit reached".into());
        }
        if self.running.is_none()
            && let Err(why) = self.restart()
        {
            return unmeasured(why);
        }
        self.asked += 1;
        let (id, running) = (self.asked.to_string(), self.running.as_mut().expect("it was started"));
        let sent = writeln!(running.requests, "{}", [&[&id, name], arguments].concat().join("\t"));
        let answer = sent.map_err(|e| e.to_string()).and_then(|()| running.answer(&id, self.question.min(left)));
        match answer {
            Ok(answer) => {
                let (seconds, remark) = answer.split_once('\t').unwrap_or((&answer, ""));
                Some(Answer { seconds: seconds.parse().ok(), remark: remark.into() })
            }
            Err(why) => {
                self.running = None;
                unmeasured(why)
            }
        }
    }
}

impl Running {
    /// The rest of the line that begins with `id` and a tab; other output is skipped.
    fn answer(&mut self, id: &str, limit: Duration) -> Result<String, String> {
        let end = Instant::now() + limit;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => match line.split_once('\t') {
                    Some((of, rest)) if of == id => return Ok(rest.into()),
                    _ => {}
                },
                Err(RecvTimeoutError::Timeout) => return Err(format!("no answer within {:.0} s", limit.as_secs_f64())),
                Err(RecvTimeoutError::Disconnected) => return Err("it ended".into()),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with the name of the question, among stray lines; never answers `hang`, and ends at `die`.
    const ECHO: &str = "\
import sys
print('a stray line', flush=True)
print('ready\\t0', flush=True)
for line in sys.stdin:
    id, name, *rest = line.rstrip('\\n').split('\\t')
    print('1.5\\tstray', flush=True)
    if name == 'die': sys.exit()
    if name != 'hang': print(f'{id}\\t2.5\\t{name}', flush=True)
";

    #[test]
    fn an_answer_belongs_to_its_question_whatever_happened_before() {
        let mut peer = Peer::run("python3".into(), ECHO, None, Duration::from_secs(600));
        peer.question = Duration::from_secs(5);
        assert_eq!(peer.status, "PyTorch 0");
        let mut ask = |name: &str| peer.measure(name, &[1]).expect("a Python");
        for name in ["hang", "die"] {
            let first = ask("first");
            assert_eq!((first.seconds, &*first.remark), (Some(2.5), "first"));
            let none = ask(name);
            assert!(none.seconds.is_none() && none.remark.contains("not measured"), "{none:?}");
        }
        assert_eq!(ask("last").remark, "last");
    }
}
