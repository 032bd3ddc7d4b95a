//! Language models.

use crate::{
    arguments::{self, Out, elements, shared, text},
    status::{HhStatus, guard},
};
use rust::TextModel;
use std::ffi::c_char;

/// A language model. Any number of threads may use one at the same time, each with sessions of its own; its sessions outlive it.
pub struct HhModel(pub(crate) TextModel);

/// Loads the model of a checkpoint file, of the folder of a run, or of a folder in the Hugging Face layout. Each session uses `threads`
/// threads, 0 as many as there are cores; 1 is fastest below some 8 MB of weights. Results do not depend on it.
///
/// # Safety
/// `path` is a string; `model` is where the handle is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_model_open(path: *const c_char, threads: usize, model: *mut *mut HhModel) -> HhStatus {
    guard(|| {
        // SAFETY: the caller's promise.
        let (model, path) = unsafe { (Out::handle("model", model)?, text("path", path, arguments::HH_NUL)?) };
        model.give(HhModel(TextModel::from_file(path)?.with_threads(threads)));
        Ok(HhStatus::HH_OK)
    })
}

/// Loads the model of a checkpoint's bytes, which are copied. See `hh_model_open`.
///
/// # Safety
/// `data` points to `length` bytes; `model` is where the handle is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_model_from_bytes(data: *const u8, length: usize, threads: usize, model: *mut *mut HhModel) -> HhStatus {
    guard(|| {
        // SAFETY: the caller's promise.
        let (model, bytes) = unsafe { (Out::handle("model", model)?, elements("data", data, length)?) };
        model.give(HhModel(TextModel::from_bytes(bytes)?.with_threads(threads)));
        Ok(HhStatus::HH_OK)
    })
}

/// Frees a model; NULL is none.
///
/// # Safety
/// `model` is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_model_free(model: *mut HhModel) {
    // SAFETY: the caller's promise.
    unsafe { arguments::free(model) }
}

/// Ids that the tokenizer has; 0 for NULL.
///
/// # Safety
/// `model` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_model_vocab_size(model: *const HhModel) -> usize {
    // SAFETY: the caller's promise.
    unsafe { model.as_ref() }.map_or(0, |model| model.0.tokenizer().vocab_size())
}

/// Token ids of a text. Writes at most `capacity` of them to `ids` and the number of all to `count`: where that is more than
/// `capacity`, call again with more space.
///
/// # Safety
/// `data` and `length` are those of an `HhText`; `ids` points to `capacity` numbers, `count` to one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hh_model_tokenize(
    model: *const HhModel,
    data: *const c_char,
    length: usize,
    ids: *mut u32,
    capacity: usize,
    count: *mut usize,
) -> HhStatus {
    guard(|| {
        // SAFETY: the caller's promise.
        let (model, text, count) = unsafe { (&shared("model", model)?.0, text("data", data, length)?, Out::new("count", count)?) };
        let made = model.tokenizer().encode(text)?;
        let written = made.len().min(capacity);
        if written > 0 && ids.is_null() {
            return Err(arguments::missing("ids"));
        }
        if written > 0 {
            // SAFETY: `ids` has `capacity` numbers.
            unsafe { ids.copy_from_nonoverlapping(made.as_ptr(), written) };
        }
        count.set(made.len());
        Ok(HhStatus::HH_OK)
    })
}
