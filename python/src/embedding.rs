//! Embeddings of many texts, batch by batch.

use crate::{
    arrow::ArrowArray,
    errors::{exception, input},
    numpy,
    options::{self, Empty},
    texts::Texts,
};
use hh::{Blank, EmbedOptions, Embeddings, Error, Output, Pooling, Values};
use pyo3::prelude::*;
use std::{path::PathBuf, sync::Arc};

/// The most bytes of text in a batch, unless a single text has more: as in `hh-runtime embed`, so that both compute the same bits.
const TEXT_BYTES: usize = 1 << 20;

/// A model that makes embeddings, and how.
#[pyclass(frozen, module = "hh._hh")]
pub(crate) struct EmbeddingModel {
    embedder: Arc<hh::Embedder>,
    pooling: Option<Pooling>,
    truncate_dim: Option<usize>,
    max_tokens: Option<usize>,
}

#[pymethods]
impl EmbeddingModel {
    /// The model of a path, or the English one where it is absent.
    #[new]
    #[pyo3(signature = (path, threads, pooling, truncate_dim, max_tokens))]
    fn new(
        py: Python<'_>,
        path: Option<PathBuf>,
        threads: Option<usize>,
        pooling: Option<&str>,
        truncate_dim: Option<usize>,
        max_tokens: Option<usize>,
    ) -> PyResult<Self> {
        let threads = options::at_least_one("threads", threads)?;
        let pooling = pooling.map(options::pooling).transpose()?;
        let max_tokens = options::at_least_one("max_tokens", max_tokens)?;
        let load = || path.map_or_else(hh::Embedder::english, hh::Embedder::from_file);
        let embedder = py.detach(load).map_err(exception)?;
        if let Some(dim) = truncate_dim.filter(|dim| !(1..=embedder.dim()).contains(dim)) {
            return Err(input(format!("truncate_dim is {dim}; this model's vectors have {}: give 1 to {0}", embedder.dim())));
        }
        let embedder = Arc::new(match threads {
            Some(threads) => embedder.with_threads(threads),
            None => embedder,
        });
        Ok(Self { embedder, pooling, truncate_dim, max_tokens })
    }

    /// Dimensions of an embedding.
    #[getter]
    fn dim(&self) -> usize {
        self.truncate_dim.unwrap_or(self.embedder.dim())
    }

    /// A hash of weights and tokenizer, 16 hexadecimal digits.
    #[getter]
    fn fingerprint(&self, py: Python<'_>) -> PyResult<String> {
        let identity = py.detach(|| self.embedder.identity()).map_err(exception)?;
        Ok(format!("{identity:016x}"))
    }

    /// The texts of an object, to be embedded in batches.
    ///
    /// `nullable` says whether the output can hold a null.
    #[pyo3(signature = (texts, *, kind, normalize, batch_size, dtype, empty, nullable))]
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn job(
        &self,
        texts: &Bound<'_, PyAny>,
        kind: &str,
        normalize: bool,
        batch_size: usize,
        dtype: &str,
        empty: &str,
        nullable: bool,
    ) -> PyResult<Job> {
        options::at_least_one("batch_size", Some(batch_size))?;
        let (prompt, output, empty) = (options::prompt(kind)?, options::output(dtype)?, options::empty(empty, nullable)?);
        let texts = Texts::of(texts)?;
        if let (Empty::Refuse, Some(i)) = (empty, texts.iter().position(|text| text.is_none())) {
            return Err(input(format!("text {i} (counted from 0) is missing and has no embedding: leave it out, or choose another empty")));
        }
        let options = EmbedOptions {
            prompt,
            pooling: self.pooling,
            truncate_dim: self.truncate_dim,
            // Of int8, 127 stands for 1.
            normalise: normalize || output == Output::Int8,
            max_tokens: self.max_tokens,
            blank: if empty == Empty::Refuse { Blank::Refuse } else { Blank::Zero },
            ..EmbedOptions::default()
        };
        let (ends, values) = (ends(&texts, batch_size), Vec::with_capacity(texts.len() * self.dim()));
        Ok(Job { embedder: self.embedder.clone(), options, output, empty, dim: self.dim(), texts, ends, next: 0, values })
    }
}

/// Where the batches of some texts end: after `rows` rows, and within them where their bytes are too many.
fn ends(texts: &Texts, rows: usize) -> Vec<usize> {
    let (mut ends, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (i, text) in texts.iter().enumerate() {
        let more = text.map_or(0, str::len);
        if i > start && (i.is_multiple_of(rows) || bytes + more > TEXT_BYTES) {
            ends.push(i);
            (start, bytes) = (i, 0);
        }
        bytes += more;
    }
    if texts.len() > start {
        ends.push(texts.len());
    }
    ends
}

/// Texts on their way to embeddings.
#[pyclass(module = "hh._hh")]
pub(crate) struct Job {
    embedder: Arc<hh::Embedder>,
    options: EmbedOptions,
    output: Output,
    empty: Empty,
    dim: usize,
    texts: Texts,
    /// Where each batch ends.
    ends: Vec<usize>,
    /// The next batch.
    next: usize,
    /// Embeddings so far, `[rows, dim]`.
    values: Vec<f32>,
}

impl Job {
    fn batch(&mut self, end: usize) -> Result<(), Error> {
        let start = self.values.len() / self.dim;
        let texts: Vec<&str> = self.texts.range(start..end).into_iter().map(Option::unwrap_or_default).collect();
        let made = self.embedder.embed(&texts, &self.options).map_err(|e| match e {
            Error::Empty { text } => Error::Empty { text: start + text },
            Error::Text { text, source } => Error::Text { text: start + text, source },
            e => e,
        })?;
        self.values.extend_from_slice(made.as_f32().unwrap_or_default());
        Ok(())
    }
}

#[pymethods]
impl Job {
    /// Rows.
    fn __len__(&self) -> usize {
        self.texts.len()
    }

    /// Embeds the next batch; the rows that are embedded now, or `None` if all were before.
    fn step(&mut self, py: Python<'_>) -> PyResult<Option<usize>> {
        let Some(&end) = self.ends.get(self.next) else { return Ok(None) };
        py.detach(|| self.batch(end)).map_err(exception)?;
        self.next += 1;
        Ok(Some(end))
    }

    /// All embeddings as a numpy array; empties the job.
    fn matrix<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let values = Values::F32(std::mem::take(&mut self.values));
        let made = Embeddings::new(self.dim, values).and_then(|made| made.quantised(self.output));
        numpy::matrix(py, &made.map_err(exception)?)
    }

    /// All embeddings as an Arrow column; empties the job.
    fn column(&mut self) -> PyResult<ArrowArray> {
        let values = std::mem::take(&mut self.values);
        // An embedding is all zeros where the text is missing, blank, or of characters that no one sees.
        let present = values.chunks(self.dim).map(|row| self.empty != Empty::Null || row.iter().any(|&x| x != 0.0)).collect();
        ArrowArray::embeddings(self.dim, values, present)
    }
}
