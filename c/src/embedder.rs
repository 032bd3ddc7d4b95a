//! Embeddings.

use crate::{
    arguments::{self, HhText, Out, elements, shared, text},
    status::{Failure, HhStatus, guard},
};
use rust::{Blank, EmbedOptions, Embedder, Prompt};
use std::ffi::c_char;

/// A model that makes embeddings. Any number of threads may use one at the same time.
pub struct HhEmbedder(Embedder);

/// What texts are for: models may be trained with a prompt before each kind.
#[repr(C)]
#[derive(Clone, Copy)]
#[expect(non_camel_case_types, reason = "the names of C")]
pub enum HhKind {
    /// To be compared with texts of their kind; no prompt.
    HH_PLAIN = 0,
    /// They ask.
    HH_QUERY = 1,
    /// They are to be found.
    HH_DOCUMENT = 2,
}

/// How texts are embedded; `hh_embed_options` has the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct HhEmbedOptions {
    /// What the texts are for: an `HhKind`.
    pub kind: i32,
    /// Dimensions to keep, the first ones; 0 keeps all.
    pub truncate_dim: usize,
    /// Tokens to read of each text, those of the prompt among them; 0 reads all.
    pub max_tokens: usize,
    /// Whether embeddings have length 1.
    pub normalize: bool,
    /// Whether a text of nothing but white space gets an embedding of zeros; it is an error otherwise.
    pub allow_blank: bool,
}

/// The defaults: plain texts, all dimensions, all tokens, length 1, blank texts refused.
#[unsafe(no_mangle)]
pub extern "C" fn hh_embed_options() -> HhEmbedOptions {
    HhEmbedOptions { kind: HhKind::HH_PLAIN as i32, truncate_dim: 0, max_tokens: 0, normalize: true, allow_blank: false }
}

impl HhEmbedOptions {
    fn options(&self) -> Result<EmbedOptions, Failure> {
        const KINDS: [(HhKind, Prompt); 3] =
            [(HhKind::HH_PLAIN, Prompt::Plain), (HhKind::HH_QUERY, Prompt::Query), (HhKind::HH_DOCUMENT, Prompt::Document)];
        let prompt = KINDS.iter().find(|(kind, _)| *kind as i32 == self.kind).map(|(_, prompt)| *prompt);
        let prompt = prompt.ok_or_else(|| Failure::Argument(format!("kind is {}: give HH_PLAIN, HH_QUERY or HH_DOCUMENT", self.kind)))?;
        Ok(EmbedOptions {
            prompt,
            truncate_dim: Some(self.truncate_dim).filter(|&dim| dim > 0),
            max_tokens: Some(self.max_tokens).filter(|&tokens| tokens > 0),
            normalise: self.normalize,
            blank: if self.allow_blank { Blank::Zero } else { Blank::Refuse },
            ..EmbedOptions::default()
        })
    }
}

/// Loads the model of a checkpoint file, of the folder of a run, or of a folder in the Hugging Face layout; where `path` is NULL, the
/// English model that is part of the library. Uses at most `threads` threads for a call, 0 as many as there are cores; embeddings do not
/// depend on it.
///
/// # Safety
/// `path` is NULL or a string; `embedder` is where the handle is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_embedder_open(path: *const c_char, threads: usize, embedder: *mut *mut HhEmbedder) -> HhStatus {
    guard(|| {
        // SAFETY: the caller's promise.
        let embedder = unsafe { Out::handle("embedder", embedder) }?;
        let loaded = match path.is_null() {
            true => english()?,
            // SAFETY: the caller's promise.
            false => Embedder::from_file(unsafe { text("path", path, arguments::HH_NUL) }?)?,
        };
        embedder.give(HhEmbedder(with_threads(loaded, threads)));
        Ok(HhStatus::HH_OK)
    })
}

/// Loads the model of a checkpoint's bytes, which are copied. See `hh_embedder_open`.
///
/// # Safety
/// `data` points to `length` bytes; `embedder` is where the handle is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_embedder_from_bytes(
    data: *const u8,
    length: usize,
    threads: usize,
    embedder: *mut *mut HhEmbedder,
) -> HhStatus {
    guard(|| {
        // SAFETY: the caller's promise.
        let (embedder, bytes) = unsafe { (Out::handle("embedder", embedder)?, elements("data", data, length)?) };
        embedder.give(HhEmbedder(with_threads(Embedder::from_bytes(bytes)?, threads)));
        Ok(HhStatus::HH_OK)
    })
}

fn with_threads(embedder: Embedder, threads: usize) -> Embedder {
    if threads == 0 { embedder } else { embedder.with_threads(threads) }
}

#[cfg(feature = "english")]
fn english() -> Result<Embedder, Failure> {
    Ok(Embedder::english()?)
}

#[cfg(not(feature = "english"))]
fn english() -> Result<Embedder, Failure> {
    Err(Failure::Argument("path is NULL, and this library was built without the English model: name a checkpoint".into()))
}

/// Frees an embedder; NULL is none.
///
/// # Safety
/// `embedder` is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_embedder_free(embedder: *mut HhEmbedder) {
    // SAFETY: the caller's promise.
    unsafe { arguments::free(embedder) }
}

/// Dimensions of an embedding that is not truncated; 0 for NULL.
///
/// # Safety
/// `embedder` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_embedder_dim(embedder: *const HhEmbedder) -> usize {
    // SAFETY: the caller's promise.
    unsafe { embedder.as_ref() }.map_or(0, |embedder| embedder.0.dim())
}

/// Embeds `count` texts into `out`, row by row, `out_length` floats: `count` times the dimensions. `options` NULL stands for the
/// defaults. On an error `out` is unchanged.
///
/// # Safety
/// `texts` points to `count` texts, `options` is NULL or points to options, `out` to `out_length` floats.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_embed(
    embedder: *const HhEmbedder,
    texts: *const HhText,
    count: usize,
    options: *const HhEmbedOptions,
    out: *mut f32,
    out_length: usize,
) -> HhStatus {
    guard(|| {
        // SAFETY: the caller's promise.
        let (embedder, texts, options) = unsafe { (&shared("embedder", embedder)?.0, elements("texts", texts, count)?, options.as_ref()) };
        let options = options.copied().unwrap_or_else(|| hh_embed_options()).options()?;
        let dim = options.truncate_dim.unwrap_or(embedder.dim());
        let wanted = count.checked_mul(dim).ok_or_else(|| Failure::Argument(format!("count is {count}, more than fit in memory")))?;
        if out_length != wanted {
            let what = format!("out has {out_length} floats, and {count} embeddings of {dim} dimensions are {wanted}");
            return Err(Failure::Argument(what));
        }
        if wanted == 0 {
            return Ok(HhStatus::HH_OK);
        }
        let texts = (0..).zip(texts);
        // SAFETY: the caller's promise.
        let texts = texts.map(|(i, of)| unsafe { text(&format!("text {i} (counted from 0)"), of.data, of.length) });
        let texts: Vec<&str> = texts.collect::<Result<_, _>>()?;
        let made = embedder.embed(&texts, &options)?;
        let values = made.as_f32().unwrap_or_default();
        if out.is_null() {
            return Err(arguments::missing("out"));
        }
        // SAFETY: `out` has `out_length` floats, as many as `values`, which the library owns. They need not be initialised.
        unsafe { out.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
        Ok(HhStatus::HH_OK)
    })
}
