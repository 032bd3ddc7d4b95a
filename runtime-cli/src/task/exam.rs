//! The final test of a trained model: run recurrently, through its state, at any length.

use super::score::Answers;
use super::{Exam, Score, Stream, batch};
use anyhow::Result;
use hh_core::backend::Forward;
use hh_core::error::Error;
use hh_core::model::Model;
use hh_core::ops::IGNORE;
use hh_core::session::{Options, Session};

/// Maximum positions per batch.
const AT_ONCE: usize = 1 << 13;
/// Longest chunk of a sequence.
const CHUNK: usize = 256;

/// The result of one row of the final test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExamResult {
    /// The setting that varies between rows.
    pub name: &'static str,
    /// Its value in this row.
    pub value: usize,
    /// Number of examples.
    pub examples: usize,
    /// Their score.
    pub score: Score,
}

/// Runs one row of the final test. `None` if `stop`, called before each batch, returns true.
///
/// # Errors
/// [`Error::Device`] if the device fails or is out of memory.
pub fn exam<B: Forward>(
    mut backend: B,
    model: &Model<B::Tensor>,
    exam: &Exam,
    seed: u64,
    stop: &dyn Fn() -> bool,
) -> Result<Option<ExamResult>> {
    let (task, length, width) = (&*exam.task, exam.task.length(), model.config.width);
    let rows = (AT_ONCE / length).clamp(1, exam.examples);
    let mut answers = Answers::new(&mut backend, &model.config).map_err(Error::device)?;
    let options = Options { batch: rows, context: length, chunk: CHUNK, ..Options::default() };
    let mut session = Session::new(backend, model, options)?;
    let (mut tokens, mut targets, mut score) = (vec![0; rows * length], vec![0; rows * length], Score::default());
    for first in (0..exam.examples).step_by(rows) {
        if stop() {
            return Ok(None);
        }
        let numbers = first..exam.examples.min(first + rows);
        batch(task, seed, Stream::Exam, numbers.map(|n| n as u64), &mut tokens, &mut targets);
        session.reset()?;
        let (mut done, mut asked) = (0, Vec::new());
        session.hidden(&tokens, |hidden| {
            let time = hidden.len() / (rows * width);
            for (at, hidden) in hidden.chunks_exact(width).enumerate() {
                let target = targets[at / time * length + done + at % time];
                if target != IGNORE {
                    asked.push((hidden.to_vec(), target));
                }
            }
            done += time;
        })?;
        for (hidden, target) in asked {
            answers.push(session.backend_mut(), &model.params, &hidden, target, &mut score).map_err(Error::device)?;
        }
    }
    answers.finish(session.backend_mut(), &model.params, &mut score).map_err(Error::device)?;
    Ok(Some(ExamResult { name: exam.name, value: exam.value, examples: exam.examples, score }))
}
