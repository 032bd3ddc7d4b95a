//! `cargo xtask ci`: runs jobs and reports their times.

use crate::jobs::JOBS;
use std::time::Instant;

/// Runs the jobs of these names, all if there are none, and prints the minutes of each.
///
/// The table of minutes is printed before the last step of the last job, so that the closing lines of that step, the
/// test runner's, are the last of the output.
///
/// # Errors
/// The first command that fails, or a name that no job has.
pub(crate) fn run(names: &[&str]) -> Result<(), String> {
    let known = JOBS.map(|(name, _)| name);
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(format!("there is no job {name}; the jobs are {}", known.join(", ")));
    }
    let chosen: Vec<_> = JOBS.iter().filter(|(name, _)| names.is_empty() || names.contains(name)).collect();
    let mut times = Times::default();
    for (i, (name, job)) in chosen.iter().enumerate() {
        let steps = job()?;
        let last = steps.len();
        let began = Instant::now();
        for (j, step) in steps.into_iter().enumerate() {
            if i + 1 == chosen.len() && j + 1 == last {
                times.push(name, began);
                eprint!("{}", times.table());
            }
            if let Err(error) = step.run() {
                times.push(name, began);
                eprint!("{}", times.table());
                return Err(error);
            }
        }
        if i + 1 < chosen.len() {
            times.push(name, began);
            eprint!("{}", times.line(i));
        }
    }
    Ok(())
}

/// Minutes of the jobs so far.
#[derive(Default)]
struct Times(Vec<(&'static str, f64)>);

impl Times {
    fn push(&mut self, name: &'static str, began: Instant) {
        self.0.push((name, began.elapsed().as_secs_f64() / 60.0));
    }

    fn line(&self, i: usize) -> String {
        let (name, minutes) = self.0[i];
        format!("ci> {name:<14} {minutes:5.1} min\n")
    }

    fn table(&self) -> String {
        let lines: String = (0..self.0.len()).map(|i| self.line(i)).collect();
        let sum = self.0.iter().fold(0.0, |sum, (_, minutes)| sum + minutes);
        format!("{lines}ci> {:<14} {sum:5.1} min\n", "so far")
    }
}
