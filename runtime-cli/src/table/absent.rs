//! What stands for tables in a build without the feature `tables`: no file can be opened, and the error names the feature.

use crate::features::{Absent, Feature};
use anyhow::Result;
use std::iter::Empty;
use std::path::Path;

/// A text or nothing for each row, in each column.
type Columns = Vec<Vec<Option<String>>>;

/// There is none.
pub(crate) enum Table {}

impl Table {
    pub(crate) fn open(_: &Path) -> Result<Self> {
        Err(Absent(Feature::Tables).into())
    }

    pub(crate) fn path(&self) -> &Path {
        match *self {}
    }

    pub(crate) fn columns(&self) -> Empty<&str> {
        match *self {}
    }

    pub(crate) fn rows(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn texts(&self, _: &[&str], _: usize) -> Result<Empty<Result<Columns>>> {
        match *self {}
    }
}

/// There are none.
pub(crate) enum Vectors {}

impl Vectors {
    pub(crate) fn open(_: &Path, _: Option<&str>) -> Result<Self> {
        Err(Absent(Feature::Tables).into())
    }

    pub(crate) fn rows(&self) -> usize {
        match *self {}
    }

    pub(crate) fn dim(&self) -> usize {
        match *self {}
    }

    pub(crate) fn row(&self, _: usize, _: &mut [f32]) {
        match *self {}
    }
}
