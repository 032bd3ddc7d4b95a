//! Sessions: texts that a model reads and continues, and their states.

use crate::{
    arguments::{self, HhText, Out, elements, exclusive, shared, text},
    model::HhModel,
    status::{Failure, HhStatus, guard},
};
use rust::{Continuation, GenerateOptions, SamplerConfig, TextSession, TextState};
use std::{ffi::c_char, ptr};

/// A text that a model reads and continues. One thread at a time may use it.
pub struct HhSession {
    text: TextSession,
    /// The text that is being generated.
    generation: Option<Continuation>,
    /// The piece that the caller reads.
    piece: String,
}

/// How a text is continued; `hh_generate_options` has the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct HhGenerateOptions {
    /// Tokens to draw at most.
    pub max_tokens: usize,
    /// Temperature; 0 always takes the most likely token.
    pub temperature: f32,
    /// Draws among so many of the most likely tokens; 0 among all.
    pub top_k: usize,
    /// Draws among the most likely tokens that together have this probability; 1 among all.
    pub top_p: f32,
    /// Leaves out tokens with less than this share of the largest probability; 0 none.
    pub min_p: f32,
    /// Makes the newest tokens less likely; 1 does not.
    pub repetition_penalty: f32,
    /// Newest tokens that the penalty applies to.
    pub repetition_window: usize,
    /// The same seed draws the same text.
    pub seed: u64,
    /// Texts that end the generation and are no part of it, `stop_count` of them.
    pub stop: *const HhText,
    /// How many there are.
    pub stop_count: usize,
    /// Continues past the end-of-text token of the tokenizer.
    pub ignore_end_of_text: bool,
}

/// The defaults: 256 tokens, temperature 1, nothing left out, no penalty, seed 0, no stop texts.
#[unsafe(no_mangle)]
pub extern "C" fn hh_generate_options() -> HhGenerateOptions {
    let GenerateOptions { max_tokens, sampler, ignore_end_of_text, .. } = GenerateOptions::default();
    let SamplerConfig { temperature, top_k, top_p, min_p, repetition_penalty, repetition_window, seed } = sampler;
    HhGenerateOptions {
        max_tokens,
        temperature,
        top_k,
        top_p,
        min_p,
        repetition_penalty,
        repetition_window,
        seed,
        stop: ptr::null(),
        stop_count: 0,
        ignore_end_of_text,
    }
}

impl HhGenerateOptions {
    /// # Safety
    /// `stop` points to `stop_count` texts.
    unsafe fn options(&self) -> Result<GenerateOptions, Failure> {
        let &Self { temperature, top_k, top_p, min_p, repetition_penalty, repetition_window, seed, .. } = self;
        // SAFETY: the caller's promise.
        let stop = unsafe { elements("stop", self.stop, self.stop_count) }?.iter().enumerate();
        // SAFETY: the caller's promise.
        let stop = stop.map(|(i, of)| unsafe { text(&format!("stop text {i} (counted from 0)"), of.data, of.length) }.map(Into::into));
        Ok(GenerateOptions {
            max_tokens: self.max_tokens,
            sampler: SamplerConfig { temperature, top_k, top_p, min_p, repetition_penalty, repetition_window, seed },
            stop: stop.collect::<Result<_, _>>()?,
            ignore_end_of_text: self.ignore_end_of_text,
        })
    }
}

/// Begins a session without any text. Its memories hold `context` positions, 0 the model's own number.
///
/// # Safety
/// `model` is a handle; `session` is where the handle is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_session_new(model: *const HhModel, context: usize, session: *mut *mut HhSession) -> HhStatus {
    guard(|| {
        // SAFETY: the caller's promise.
        let (model, session) = unsafe { (&shared("model", model)?.0, Out::handle("session", session)?) };
        session.give(HhSession::of(model.session_with(Some(context).filter(|&context| context > 0), None)?));
        Ok(HhStatus::HH_OK)
    })
}

impl HhSession {
    fn of(text: TextSession) -> Self {
        Self { text, generation: None, piece: String::new() }
    }

    /// Makes the next piece of text; `false` at the end.
    fn advance(&mut self) -> Result<bool, Failure> {
        let Some(generation) = &mut self.generation else {
            return Err(Failure::Argument("nothing is being generated: call hh_session_generate first".into()));
        };
        let next = generation.next(&mut self.text)?;
        let more = next.is_some();
        self.piece = next.unwrap_or_default();
        Ok(more)
    }
}

/// Frees a session; NULL is none.
///
/// # Safety
/// `session` is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_session_free(session: *mut HhSession) {
    // SAFETY: the caller's promise.
    unsafe { arguments::free(session) }
}

/// Appends a text and runs it. Ends a generation.
///
/// # Safety
/// `session` is a handle; `data` and `length` are those of an `HhText`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_session_prefill(session: *mut HhSession, data: *const c_char, length: usize) -> HhStatus {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, text) = unsafe { (exclusive("session", session)?, text("data", data, length)?) };
        session.generation = None;
        session.text.prefill(text)?;
        Ok(HhStatus::HH_OK)
    })
}

/// Begins to continue the text; `hh_session_next` has the pieces. `options` NULL stands for the defaults.
///
/// # Safety
/// `session` is a handle, `options` is NULL or points to options.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_session_generate(session: *mut HhSession, options: *const HhGenerateOptions) -> HhStatus {
    guard(|| {
        // SAFETY: the caller's promise.
        let session = unsafe { exclusive("session", session) }?;
        // SAFETY: the caller's promise.
        let options = unsafe { options.as_ref().copied().unwrap_or_else(|| hh_generate_options()).options() }?;
        session.generation = Some(session.text.continuation(&options)?);
        Ok(HhStatus::HH_OK)
    })
}

/// The next piece of the text: `HH_OK` with valid UTF-8 in `piece`, which has no NUL at its end, or `HH_END`. The piece is valid until
/// the next call with this session.
///
/// # Safety
/// `session` is a handle; `piece` is where the piece is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_session_next(session: *mut HhSession, piece: *mut HhText) -> HhStatus {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, piece) = unsafe { (exclusive("session", session)?, Out::new("piece", piece)?) };
        let more = session.advance()?;
        piece.set(HhText { data: session.piece.as_ptr().cast(), length: session.piece.len() });
        Ok(if more { HhStatus::HH_OK } else { HhStatus::HH_END })
    })
}

/// Logits of the next token, one for each id of the model, into `out`, `out_length` floats. At least one token must have been read.
///
/// # Safety
/// `session` is a handle; `out` points to `out_length` floats.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_session_logits(session: *mut HhSession, out: *mut f32, out_length: usize) -> HhStatus {
    guard(|| {
        // SAFETY: the caller's promise.
        let session = unsafe { exclusive("session", session) }?;
        session.text.catch_up()?;
        let logits = session.text.logits();
        if logits.is_empty() {
            return Err(Failure::Argument("there are no logits yet: prefill at least one token first".into()));
        }
        if out.is_null() {
            return Err(arguments::missing("out"));
        }
        if out_length != logits.len() {
            return Err(Failure::Argument(format!("out has {out_length} floats, and there are {} logits", logits.len())));
        }
        // SAFETY: `out` has `out_length` floats, as many as `logits`.
        unsafe { out.copy_from_nonoverlapping(logits.as_ptr(), logits.len()) };
        Ok(HhStatus::HH_OK)
    })
}

/// Tokens read and drawn since the beginning; 0 for NULL.
///
/// # Safety
/// `session` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_session_position(session: *const HhSession) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { session.as_ref() }.map_or(0, |session| session.text.position())
}

/// Forgets everything. Ends a generation.
///
/// # Safety
/// `session` is a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_session_reset(session: *mut HhSession) -> HhStatus {
    guard(|| {
        // SAFETY: the caller's promise.
        let session = unsafe { exclusive("session", session) }?;
        session.generation = None;
        session.text.reset()?;
        Ok(HhStatus::HH_OK)
    })
}

/// An independent copy, which continues from the same text. A generation is not copied.
///
/// # Safety
/// `session` is a handle; `copy` is where the new handle is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_session_fork(session: *mut HhSession, copy: *mut *mut HhSession) -> HhStatus {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, copy) = unsafe { (exclusive("session", session)?, Out::handle("copy", copy)?) };
        copy.give(HhSession::of(session.text.fork()?));
        Ok(HhStatus::HH_OK)
    })
}

/// Bytes that the library has allocated; free them with `hh_bytes_free`.
#[repr(C)]
pub struct HhBytes {
    /// The first of them.
    pub data: *mut u8,
    /// How many there are.
    pub length: usize,
}

/// Everything that the session remembers, as the program, the page and the firmware write it. The session goes on as if nothing
/// had happened.
///
/// # Safety
/// `session` is a handle; `state` is where the bytes are written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_session_save(session: *mut HhSession, state: *mut HhBytes) -> HhStatus {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, state) = unsafe { (exclusive("session", session)?, Out::new("state", state)?) };
        state.set(HhBytes { data: ptr::null_mut(), length: 0 });
        let bytes = session.text.snapshot()?.to_bytes().into_boxed_slice();
        let length = bytes.len();
        state.set(HhBytes { data: Box::into_raw(bytes).cast(), length });
        Ok(HhStatus::HH_OK)
    })
}

/// Returns to a state, of this session or of another one of the same model and context. Ends a generation. On an error the session is
/// unchanged.
///
/// # Safety
/// `session` is a handle; `data` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_session_restore(session: *mut HhSession, data: *const u8, length: usize) -> HhStatus {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, bytes) = unsafe { (exclusive("session", session)?, elements("data", data, length)?) };
        session.text.restore(&TextState::from_bytes(bytes)?)?;
        session.generation = None;
        Ok(HhStatus::HH_OK)
    })
}

/// Frees bytes that the library has allocated, and makes them none.
///
/// # Safety
/// `bytes` is NULL or points to bytes of this library, or to none, which are not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_bytes_free(bytes: *mut HhBytes) {
    // SAFETY: the caller's promise.
    let Some(bytes) = (unsafe { bytes.as_mut() }) else { return };
    if !bytes.data.is_null() {
        // SAFETY: data and length are those of a boxed slice, by the caller's promise.
        drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(bytes.data, bytes.length)) });
    }
    (bytes.data, bytes.length) = (ptr::null_mut(), 0);
}
