//! A text that a model reads and continues.

use crate::{
    errors::exception,
    generation::{self, Generation},
    numpy,
};
use hh::{Error, GenerateOptions, SamplerConfig, TextSession, TextState};
use pyo3::{prelude::*, types::PyBytes};
use std::sync::{Arc, Mutex, PoisonError};

/// Tokens that are read between two looks for Ctrl-C: whole chunks, so that a text has the same bits as when it is read at once.
const TOKENS: usize = 1024;

/// A text that a model reads and continues, from `TextModel.session`. Its recurrent state can be saved, restored and forked.
#[pyclass(frozen, module = "hh")]
pub(crate) struct Session(Shared);

/// A session that an iterator over its text continues, too.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<TextSession>>);

impl Shared {
    /// Works on the session without Python's lock.
    pub(crate) fn with<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut TextSession) -> Result<T, Error> + Send) -> PyResult<T> {
        py.detach(|| work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))).map_err(exception)
    }
}

impl Session {
    pub(crate) fn new(session: TextSession) -> Self {
        Self(Shared(Arc::new(Mutex::new(session))))
    }

    pub(crate) fn begin(&self, py: Python<'_>, options: &GenerateOptions) -> PyResult<Generation> {
        let continuation = self.0.with(py, |session| session.continuation(options))?;
        Ok(Generation::new(self.0.clone(), continuation))
    }
}

#[pymethods]
impl Session {
    /// Appends text and runs it. After Ctrl-C the session has read a part of it.
    pub(crate) fn prefill(&self, py: Python<'_>, text: &str) -> PyResult<()> {
        let mut ids = self.0.with(py, |session| Ok(session.tokenizer().encode(text)?))?;
        // The token that was drawn last is run with them.
        let mut room = TOKENS - self.0.with(py, |session| Ok(session.pending().len()))?;
        while !ids.is_empty() {
            let later = ids.split_off(room.min(ids.len()));
            self.0.with(py, |session| session.prefill_tokens(&ids))?;
            py.check_signals()?;
            (ids, room) = (later, TOKENS);
        }
        Ok(())
    }

    /// Continues the text: an iterator over pieces of text. Abandoning it leaves the session where it stands.
    ///
    /// At most `max_tokens` tokens are drawn. `temperature` 0 is greedy; `top_k` 0, `top_p` 1, `min_p` 0 and `repetition_penalty` 1 are off.
    /// The same `seed` draws the same text. `stop` is a text or several that end the generation and are not part of it; the
    /// end-of-text token does so, too, unless `ignore_end_of_text` is set.
    #[pyo3(signature = (*, max_tokens=256, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0,
        repetition_window=64, seed=0, stop=None, ignore_end_of_text=false))]
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn generate(
        &self,
        py: Python<'_>,
        max_tokens: usize,
        temperature: f32,
        top_k: usize,
        top_p: f32,
        min_p: f32,
        repetition_penalty: f32,
        repetition_window: usize,
        seed: u64,
        stop: Option<&Bound<'_, PyAny>>,
        ignore_end_of_text: bool,
    ) -> PyResult<Generation> {
        let sampler = SamplerConfig { temperature, top_k, top_p, min_p, repetition_penalty, repetition_window, seed };
        self.begin(py, &generation::options(sampler, max_tokens, stop, ignore_end_of_text)?)
    }

    /// Everything that the session remembers.
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.0.with(py, |session| Ok(session.snapshot()?.to_bytes()))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Returns to a state, of this session or of another one of the same model and layout.
    fn restore(&self, py: Python<'_>, state: &[u8]) -> PyResult<()> {
        self.0.with(py, |session| session.restore(&TextState::from_bytes(state)?))
    }

    /// An independent copy, which continues from the same text.
    fn fork(&self, py: Python<'_>) -> PyResult<Self> {
        Ok(Self::new(self.0.with(py, TextSession::fork)?))
    }

    /// Forgets everything.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        self.0.with(py, TextSession::reset)
    }

    /// Logits of the next token as a numpy array of float32, one for each id; of none before the first token.
    fn logits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let logits = self.0.with(py, |session| {
            session.catch_up()?;
            Ok(session.logits().to_vec())
        })?;
        numpy::floats(py, &logits)
    }

    /// Tokens read and drawn since the beginning.
    #[getter]
    fn position(&self, py: Python<'_>) -> PyResult<u64> {
        self.0.with(py, |session| Ok(session.position()))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<hh.Session after {} tokens>", self.position(py)?))
    }
}
