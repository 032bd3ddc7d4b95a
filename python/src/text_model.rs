//! A language model.

use crate::{
    errors::exception,
    generation::{self, Generation},
    options,
    session::Session,
};
use hh::SamplerConfig;
use pyo3::{prelude::*, types::PyType};
use std::path::PathBuf;

/// A language model on the CPU: `TextModel(path, threads=1)`.
///
/// `path` is a checkpoint file, the folder of a run, or a folder in the Hugging Face layout. One thread is fastest below some
/// 8 MB of weights. Results do not depend on the threads. A model is pickled as its path: it is loaded again where it is unpickled.
#[pyclass(frozen, module = "hh")]
pub(crate) struct TextModel {
    model: hh::TextModel,
    path: PathBuf,
    threads: usize,
}

#[pymethods]
impl TextModel {
    #[new]
    #[pyo3(signature = (path, threads=1))]
    fn new(py: Python<'_>, path: PathBuf, threads: usize) -> PyResult<Self> {
        options::at_least_one("threads", Some(threads))?;
        // As in another process with another folder.
        let path = std::path::absolute(&path).unwrap_or(path);
        let model = py.detach(|| hh::TextModel::from_file(&path)).map_err(exception)?.with_threads(threads);
        Ok(Self { model, path, threads })
    }

    /// Continues a prompt; an iterator over pieces of text. See `Session.generate` for the arguments.
    #[pyo3(signature = (prompt, *, max_tokens=256, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0,
        repetition_window=64, seed=0, stop=None, ignore_end_of_text=false))]
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn generate(
        &self,
        py: Python<'_>,
        prompt: &str,
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
        let session = self.session(py, None, None)?;
        session.prefill(py, prompt)?;
        session.begin(py, &generation::options(sampler, max_tokens, stop, ignore_end_of_text)?)
    }

    /// A session without any text. `context` is the number of positions that its memories hold, `segments` the number of passes over
    /// the blocks; the model's own where absent.
    #[pyo3(signature = (*, context=None, segments=None))]
    fn session(&self, py: Python<'_>, context: Option<usize>, segments: Option<usize>) -> PyResult<Session> {
        let session = py.detach(|| self.model.session_with(context, segments)).map_err(exception)?;
        Ok(Session::new(session))
    }

    /// Ids of the tokens of a text.
    fn tokenize(&self, text: &str) -> PyResult<Vec<u32>> {
        self.model.tokenizer().encode(text).map_err(|e| exception(e.into()))
    }

    /// Length of the sequences that the model was trained on, in tokens.
    #[getter]
    fn context(&self) -> usize {
        self.model.context()
    }

    /// Ids that the tokenizer has.
    #[getter]
    fn vocab_size(&self) -> usize {
        self.model.tokenizer().vocab_size()
    }

    /// The configuration as JSON.
    #[getter]
    fn config(&self) -> String {
        self.model.config().to_json()
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> (Bound<'py, PyType>, (PathBuf, usize)) {
        (PyType::new::<Self>(py), (self.path.clone(), self.threads))
    }

    fn __repr__(&self) -> String {
        format!("hh.TextModel({:?}, threads={})", self.path.display().to_string(), self.threads)
    }
}
