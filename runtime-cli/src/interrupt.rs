//! Ctrl-C, SIGTERM and SIGHUP: the current step is finished and saved; a second Ctrl-C quits immediately.

use crate::stderr::say;
use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code of a stopped command, as shells use it for Ctrl-C, so that a script does not continue after it.
pub const STOPPED: u8 = 130;

/// How a command ended, if it did not fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Ending {
    /// Complete.
    Done,
    /// Stopped early; the state is saved.
    Stopped,
}

impl From<Ending> for u8 {
    /// The exit code.
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Done => 0,
            Ending::Stopped => STOPPED,
        }
    }
}

/// Installs the signal handlers; until a command does so, signals end the program.
#[derive(Clone, Copy)]
pub struct Interrupt {
    quit: fn(),
}

impl Interrupt {
    /// `quit` ends the program; the second Ctrl-C calls it, on a separate thread.
    pub fn new(quit: fn()) -> Self {
        Self { quit }
    }

    /// A flag that Ctrl-C sets to stop the work; on Unix also SIGTERM, and SIGHUP (a terminal or connection that was closed)
    /// unless the program was started to ignore it, as by `nohup`. Ctrl-C prints a line to the standard error.
    ///
    /// # Errors
    /// Handlers that cannot be installed, for example because the process has one already.
    pub fn listen(&self) -> Result<Arc<AtomicBool>> {
        // With line breaks around it, because a redrawn progress bar clears the two lines above the cursor.
        self.watch("\nfinishing the current step and saving; press Ctrl-C again to quit now\n")
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
        .context("cannot handle Ctrl-C")?;
        #[cfg(unix)]
        {
            use signal_hook::consts::{SIGHUP, SIGTERM};
            signal_hook::flag::register(SIGTERM, stop.clone()).context("cannot handle SIGTERM")?;
            if !is_ignored(SIGHUP) {
                signal_hook::flag::register(SIGHUP, stop.clone()).context("cannot handle SIGHUP")?;
            }
        }
        Ok(stop)
    }
}

/// Whether this process ignores a signal.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call only writes the present one to `action`, which is a valid `sigaction`, all zero, if
    // it writes nothing.
    let action = unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

/// Makes a write beyond the size limit for files (`ulimit -f`) an error with a message, in place of a signal that ends the
/// program in the middle of it. A full disk is such an error on its own, and so is a closed pipe.
pub fn survive_file_limits() {
    #[cfg(unix)]
    // The flag has no reader: a handler of any kind keeps the program alive. Without one, nothing is worse than before.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}
