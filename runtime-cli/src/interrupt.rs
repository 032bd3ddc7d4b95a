//! Ctrl-C and SIGTERM: the work at hand is finished and saved, and a second Ctrl-C quits at once.

use crate::stderr::say;
use anyhow::{Context, Result};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of work that was stopped, as shells have it for Ctrl-C: what follows it in a script does not start.
pub const STOPPED: u8 = 130;

/// How a command ended, where nothing went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Ending {
    /// Everything is done.
    Done,
    /// It was stopped; what there was is saved.
    Stopped,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Done => Self::SUCCESS,
            Ending::Stopped => STOPPED.into(),
        }
    }
}

/// What listens to the signals, once a command asks for it: until then they end the program.
#[derive(Clone, Copy)]
pub struct Interrupt {
    quit: fn(),
}

impl Interrupt {
    /// `quit` ends the program: it is called, on a thread of its own, by the second Ctrl-C.
    pub fn new(quit: fn()) -> Self {
        Self { quit }
    }

    /// What becomes true when the work should stop: by Ctrl-C, or by SIGTERM where the system has it. SIGHUP stays what it
    /// was, so that `nohup` works. Ctrl-C is answered by a line on the standard error stream.
    ///
    /// # Errors
    /// One sentence where the system refuses, or something in the process listens already.
    pub fn listen(&self) -> Result<Arc<AtomicBool>> {
        // A progress bar clears the two lines above the cursor when it draws itself again: not this one.
        self.watch("\nfinishing what is at hand and saving; press Ctrl-C again to quit now\n")
    }

    /// [`listen`](Self::listen) without that line.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    pub fn listen_quietly(&self) -> Result<Arc<AtomicBool>> {
        self.watch("")
    }

    fn watch(&self, notice: &'static str) -> Result<Arc<AtomicBool>> {
        let stop = Arc::new(AtomicBool::new(false));
        let (pressed, quit) = (stop.clone(), self.quit);
        ctrlc::set_handler(move || {
            if pressed.swap(true, Ordering::Relaxed) {
                quit();
            }
            if !notice.is_empty() {
                say(notice);
            }
        })
        .context("cannot listen to Ctrl-C")?;
        #[cfg(unix)]
        signal_hook::flag::register(signal_hook::consts::SIGTERM, stop.clone()).context("cannot listen to SIGTERM")?;
        Ok(stop)
    }
}
