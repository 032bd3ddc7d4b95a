//! Placeholder for tables in a build without the feature `tables`: opening a file fails with the name of the feature.

use crate::features::{Absent, Feature};
use anyhow::Result;
use std::iter::Empty;
use std::path::Path;

/// For each column, a text or null for each row.
type Columns = Vec<Vec<Option<String>>>;

/// Uninhabited.
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

    pub(crate) fn place(&self, _: u64) -> String {
        match *self {}
    }

    pub(crate) fn numbers(&self, _: &str) -> Result<Vec<f64>> {
        match *self {}
    }

    pub(crate) fn texts(&self, _: &[&str], _: usize) -> Result<Empty<Result<Columns>>> {
        match *self {}
    }
}

/// Uninhabited.
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
