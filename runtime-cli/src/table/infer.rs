//! The types of JSON fields: the narrowest that keep every value of all lines.

use super::entries::Entries;
use super::numbers::Numbers;
use arrow_schema::{DataType, Field};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;

/// What is known of a value in all lines.
#[derive(Default)]
pub(super) enum Kind {
    /// Null in all lines.
    #[default]
    Null,
    Truth,
    Number(Numbers),
    /// Text, or scalars of several types.
    Text,
    List(Box<Kind>),
    Object(Fields),
    /// Several types, for which there is no common one.
    Mixed(Conflict),
}

/// Two lines that do not fit.
#[derive(Clone)]
pub(super) struct Conflict {
    /// The field, from the column on: `meta.tags[]`.
    pub(super) path: String,
    pub(super) found: &'static str,
    pub(super) before: &'static str,
    /// Where the value was found.
    pub(super) place: String,
}

/// Fields in the order of their first appearance.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) all: Vec<(String, Kind)>,
    index: HashMap<String, usize>,
}

impl Fields {
    /// Adds an object. `place` is its position.
    pub(super) fn add(&mut self, entries: &Entries<'_>, path: &str, place: &dyn Fn() -> String) -> serde_json::Result<()> {
        for (name, value) in &entries.0 {
            let at = *self.index.entry(name.clone()).or_insert_with(|| {
                self.all.push((name.clone(), Kind::Null));
                self.all.len() - 1
            });
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            self.all[at].1.add(value.get(), &path, place)?;
        }
        Ok(())
    }
}

impl Kind {
    /// Adds a value, which is JSON.
    fn add(&mut self, json: &str, path: &str, place: &dyn Fn() -> String) -> serde_json::Result<()> {
        let other = match json.as_bytes().first() {
            Some(b'n') => return Ok(()),
            Some(b't' | b'f') => Self::Truth,
            Some(b'"') => Self::Text,
            Some(b'[') => Self::List(Box::default()),
            Some(b'{') => Self::Object(Fields::default()),
            _ => Self::Number(Numbers::default()),
        };
        if matches!(self, Self::Null) {
            *self = other;
        } else {
            let (before, found) = (self.name(), other.name());
            match (&*self, &other) {
                (Self::Mixed(_), _) => return Ok(()),
                (Self::List(_), Self::List(_)) | (Self::Object(_), Self::Object(_)) => {}
                (Self::List(_) | Self::Object(_), _) | (_, Self::List(_) | Self::Object(_)) => {
                    *self = Self::Mixed(Conflict { path: path.to_owned(), found, before, place: place() });
                    return Ok(());
                }
                (Self::Number(_), Self::Number(_)) | (Self::Truth, Self::Truth) => {}
                _ => *self = Self::Text,
            }
        }
        match self {
            Self::Number(numbers) => numbers.add(json),
            Self::List(item) => {
                let path = format!("{path}[]");
                for value in serde_json::from_str::<Vec<&RawValue>>(json)? {
                    item.add(value.get(), &path, place)?;
                }
            }
            Self::Object(fields) => fields.add(&serde_json::from_str(json)?, path, place)?,
            _ => {}
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Truth => "a truth value",
            Self::Number(_) => "a number",
            Self::Text => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
            Self::Mixed(_) => "values of several types",
        }
    }

    /// The type, and a value that has none. What is null in all lines is text. Fields of nested objects are sorted by name.
    pub(super) fn settled(self, name: &str) -> (Field, Option<Conflict>) {
        let (kind, conflict) = match self {
            Self::Null | Self::Text => (DataType::Utf8, None),
            Self::Truth => (DataType::Boolean, None),
            Self::Number(numbers) => (numbers.kind().unwrap_or(DataType::Utf8), None),
            Self::List(item) => {
                let (item, conflict) = item.settled("item");
                (DataType::List(Arc::new(item)), conflict)
            }
            Self::Object(fields) => {
                let mut conflict = None;
                let mut inner: Vec<_> = fields
                    .all
                    .into_iter()
                    .map(|(name, kind)| {
                        let (field, found) = kind.settled(&name);
                        conflict = conflict.take().or(found);
                        Arc::new(field)
                    })
                    .collect();
                inner.sort_by(|a, b| a.name().cmp(b.name()));
                (DataType::Struct(inner.into()), conflict)
            }
            Self::Mixed(conflict) => (DataType::Utf8, Some(conflict)),
        };
        (Field::new(name, kind, true), conflict)
    }
}
