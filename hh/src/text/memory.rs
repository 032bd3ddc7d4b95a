//! A memory that a person owns: documents that were read once, as items that a model with an episodic memory looks up while it
//! generates. It can be listed, searched, saved, and it forgets exactly.

mod file;
#[cfg(test)]
mod tests;

use super::TextSession;
use crate::{Error, LoadedModel};
use hh_core::{
    backend::Forward,
    session::Episode,
    tokenizer::{Tokenizer, decode},
};
use std::ops::{Deref, Range};

pub use file::KeyFormat;

/// Documents that a model has read, as keys of its hidden states with the tokens that followed.
///
/// Layers begin again with each document, so a document's items depend on nothing but its text: after
/// [`forget`](Self::forget) the memory is what it would be had it never read the document, bit for bit.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// [Identity](LoadedModel::identity) of the model that it belongs to.
    model: u64,
    /// Width of a key.
    width: usize,
    documents: Vec<Document>,
    /// How keys are stored.
    format: KeyFormat,
    /// Of each item, its key in that format.
    keys: Vec<u8>,
    /// Of each item, the token that followed.
    tokens: Vec<u32>,
    /// Of each item, how often it had the largest weight when a token was drawn.
    uses: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq)]
struct Document {
    name: String,
    /// Absent where it left the memory.
    first_token: Option<u32>,
    items: usize,
}

/// An item of a [`Memory`] with its source.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// Number of the item.
    pub item: usize,
    /// Name of the document.
    pub document: String,
    /// Tokens of the document before the one that followed.
    pub position: usize,
    /// The text that came before, at most [`BEFORE`] tokens of it.
    pub before: String,
    /// The text of the token that followed.
    pub token: String,
    /// How often the item had the largest weight when a token was drawn.
    pub uses: u32,
}

/// Most tokens of a passage before the one that followed.
pub const BEFORE: usize = 16;

/// [Identity](LoadedModel::identity) of a session's model, and the width of its keys.
fn model_of<B: Forward, P: Deref<Target = LoadedModel<B::Tensor>>>(session: &mut TextSession<B, P>) -> Result<(u64, usize), Error> {
    match session.model().model.config.episodic_width {
        0 => Err(Error::Options(
            "this model has no episodic memory: give it one with `hh-runtime train --from CHECKPOINT --only episodic`".into(),
        )),
        width => Ok((session.identity()?, width)),
    }
}

impl Memory {
    /// An empty memory for the model of a session.
    ///
    /// # Errors
    /// [`Error::Options`] for a model without an episodic memory, [`Error::Core`] where the device fails.
    pub fn new<B: Forward, P: Deref<Target = LoadedModel<B::Tensor>>>(
        session: &mut TextSession<B, P>,
        format: KeyFormat,
    ) -> Result<Self, Error> {
        let (model, width) = model_of(session)?;
        Ok(Self { model, width, documents: Vec::new(), format, keys: Vec::new(), tokens: Vec::new(), uses: Vec::new() })
    }

    /// What the episodic memory of a session holds, as one document.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_session<B: Forward, P: Deref<Target = LoadedModel<B::Tensor>>>(
        session: &mut TextSession<B, P>,
        name: &str,
    ) -> Result<Self, Error> {
        let mut memory = Self::new(session, KeyFormat::F32)?;
        let (keys, tokens) = session.episodes()?;
        memory.add(Document { name: name.into(), first_token: None, items: tokens.len() }, &keys, &tokens);
        Ok(memory)
    }

    fn add(&mut self, document: Document, keys: &[f32], tokens: &[u32]) {
        keys.chunks_exact(self.width).for_each(|key| self.format.write(key, &mut self.keys));
        self.tokens.extend_from_slice(tokens);
        self.uses.resize(self.tokens.len(), 0);
        self.documents.push(document);
    }

    /// Whether it belongs to the model of a session.
    ///
    /// # Errors
    /// [`Error::State`] where it does not; those of [`new`](Self::new).
    pub fn check<B: Forward, P: Deref<Target = LoadedModel<B::Tensor>>>(&self, session: &mut TextSession<B, P>) -> Result<(), Error> {
        if model_of(session)? == (self.model, self.width) {
            return Ok(());
        }
        Err(Error::State("the memory belongs to another model: use the checkpoint that it was made with, or let it learn again".into()))
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Names of the documents with their numbers of items, in the order in which they were learned.
    pub fn documents(&self) -> impl Iterator<Item = (&str, usize)> {
        self.documents.iter().map(|document| (&document.name[..], document.items))
    }

    /// Reads a document, in constant time per token and without a gradient. The session forgets what it had read.
    ///
    /// # Errors
    /// [`Error::Options`] for a name that is there already and for a text of less than two tokens, [`Error::Core`] for text that the
    /// vocabulary cannot express and where the device fails; the memory is unchanged then.
    pub fn learn<B: Forward, P: Deref<Target = LoadedModel<B::Tensor>>>(
        &mut self,
        session: &mut TextSession<B, P>,
        name: &str,
        text: &str,
    ) -> Result<usize, Error> {
        self.check(session)?;
        if self.documents.iter().any(|document| document.name == name) {
            return Err(Error::Options(format!("the memory has a document {name:?} already: forget it first, or use another name")));
        }
        let ids = session.tokenizer().encode(text)?;
        let Some((&first_token, followed @ [_, ..])) = ids.split_first() else {
            return Err(Error::Options(format!("document {name:?} has less than two tokens, from which nothing follows: leave it out")));
        };
        let keys = session.keys_of(&ids)?;
        self.add(Document { name: name.into(), first_token: Some(first_token), items: followed.len() }, &keys, followed);
        Ok(followed.len())
    }

    /// Numbers of a document's items, if there is such a document.
    pub fn items(&self, name: &str) -> Option<Range<usize>> {
        self.range(name).map(|(_, items)| items)
    }

    /// How often an item of a document had the largest weight when a token was drawn; 0 where there is no such document.
    pub fn uses(&self, name: &str) -> u64 {
        self.items(name).map_or(0, |items| self.uses[items].iter().map(|&n| u64::from(n)).sum())
    }

    /// Items of a document.
    fn range(&self, name: &str) -> Option<(usize, Range<usize>)> {
        let at = self.documents.iter().position(|document| document.name == name)?;
        let start = self.documents[..at].iter().map(|document| document.items).sum();
        Some((at, start..start + self.documents[at].items))
    }

    /// Takes a document out, and with it the counts of uses, which the document may have changed. The memory is then what it would
    /// be had it never read the document. Returns how many items it had.
    ///
    /// # Errors
    /// [`Error::Options`] where there is no such document.
    pub fn forget(&mut self, name: &str) -> Result<usize, Error> {
        let Some((at, range)) = self.range(name) else {
            let known = self.documents.iter().map(|document| format!("{:?}", document.name)).collect::<Vec<_>>().join(", ");
            return Err(Error::Options(format!("the memory has no document {name:?}; it has {known}")));
        };
        let size = self.format.size(self.width);
        self.keys.drain(range.start * size..range.end * size);
        self.tokens.drain(range.clone());
        self.uses.drain(range.clone());
        self.uses.fill(0);
        self.documents.remove(at);
        Ok(range.len())
    }

    /// An item with its source.
    ///
    /// # Panics
    /// If there is no such item.
    pub fn passage(&self, item: usize, tokenizer: &dyn Tokenizer) -> Passage {
        assert!(item < self.len(), "item {item} of {}", self.len());
        let mut start = 0;
        let at = self.documents.iter().position(|document| {
            start += document.items;
            item < start
        });
        let document = &self.documents[at.expect("each item is one of a document")];
        start -= document.items;
        let position = item - start;
        let first = document.first_token.filter(|_| position < BEFORE);
        let before: Vec<u32> =
            first.into_iter().chain(self.tokens[start + position.saturating_sub(BEFORE - 1)..item].iter().copied()).collect();
        Passage {
            item,
            document: document.name.clone(),
            position: position + 1,
            before: decode(tokenizer, &before),
            token: decode(tokenizer, &self.tokens[item..=item]),
            uses: self.uses[item],
        }
    }

    /// Items whose text, what came before included, ends with `text`; none for an empty text.
    pub fn search(&self, text: &str, tokenizer: &dyn Tokenizer) -> Vec<Passage> {
        let mut found = Vec::new();
        if text.is_empty() {
            return found;
        }
        let mut start = 0;
        for document in &self.documents {
            let items = start..start + document.items;
            start = items.end;
            // Where each token ends in the document's text.
            let ids: Vec<u32> = document.first_token.into_iter().chain(self.tokens[items.clone()].iter().copied()).collect();
            let mut ends = Vec::with_capacity(ids.len());
            let mut bytes = Vec::new();
            for id in &ids {
                bytes.extend(tokenizer.token_bytes(*id).unwrap_or_default().iter());
                ends.push(bytes.len());
            }
            // As bytes: a generated text need not be valid UTF-8, and what is found in it is.
            let mut from = 0;
            while let Some(at) = position(&bytes[from..], text.as_bytes()) {
                from += at + text.len();
                // The token in which the match ends follows the item before it.
                let token = ends.partition_point(|&end| end < from);
                let item = token.checked_sub(usize::from(document.first_token.is_some()));
                found.extend(item.map(|item| self.passage(items.start + item, tokenizer)));
            }
        }
        found
    }

    /// The `most` items whose states are most like the one after `text`, with the cosine of the two. The session forgets what it had
    /// read.
    ///
    /// # Errors
    /// As [`learn`](Self::learn).
    pub fn nearest<B: Forward, P: Deref<Target = LoadedModel<B::Tensor>>>(
        &self,
        session: &mut TextSession<B, P>,
        text: &str,
        most: usize,
    ) -> Result<Vec<(Passage, f32)>, Error> {
        self.check(session)?;
        let mut ids = session.tokenizer().encode(text)?;
        // A key is known once a token follows; which one does not change it.
        ids.push(*ids.last().ok_or(hh_core::error::InputError::EmptyText).map_err(hh_core::error::Error::from)?);
        let keys = session.keys_of(&ids)?;
        let query = &keys[keys.len() - self.width..];
        let dot = |key: &[f32]| key.iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
        let stored = self.decoded();
        let mut all: Vec<(usize, f32)> = stored.chunks_exact(self.width).map(dot).enumerate().collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(most);
        Ok(all.into_iter().map(|(item, cosine)| (self.passage(item, session.tokenizer()), cosine)).collect())
    }

    /// Counts a use of the item with the largest weight of a prediction, if it is one of this memory.
    pub fn record(&mut self, votes: &[Episode]) {
        if let Some(uses) = votes.first().and_then(|best| self.uses.get_mut(usize::try_from(best.index).unwrap_or(usize::MAX))) {
            *uses = uses.saturating_add(1);
        }
    }

    /// All keys, `[items, width]`.
    fn decoded(&self) -> Vec<f32> {
        let mut keys = Vec::with_capacity(self.len() * self.width);
        self.keys.chunks_exact(self.format.size(self.width)).for_each(|key| self.format.read(key, &mut keys));
        keys
    }

    /// Keys and tokens, as a session takes them.
    pub(super) fn stored(&self) -> (Vec<f32>, &[u32]) {
        (self.decoded(), &self.tokens)
    }
}

/// Where `part` first stands in `bytes`.
fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
