//! What a session remembers, as values and as bytes.
//!
//! [`Snapshot`] is the recurrent state of a session over ids; [`TextState`] is all that the continuation of a text depends on. Its
//! bytes are the same on every machine: what one saves, each other continues.

mod earlier;
mod hash;
mod identity;
mod packed;
mod reader;
mod snapshot;
mod text;

pub use hash::{Hash, hash};
pub use identity::identity;
pub use packed::Packed;
pub use reader::Reader;
pub use snapshot::{Layout, Snapshot};
pub use text::{RECENT, TextState};
