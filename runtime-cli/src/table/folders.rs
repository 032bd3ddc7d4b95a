//! Several files as one table, and folders that are partitioned by `key=value`.

use super::format::Format;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// The value of a partition whose key is null, as Hive and Spark write it.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// A file, and the values of the keys in its path.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) keys: Vec<(String, Option<String>)>,
}

/// The files of all paths: of a folder, all tables in it and in the folders below, by name. Names that begin with `.` or `_` are
/// no data, by convention.
///
/// # Errors
/// A folder that cannot be read or has no tables, and files whose keys differ.
pub(super) fn expand(paths: &[PathBuf], known: impl Fn(&Path) -> bool) -> Result<Vec<Found>> {
    let mut all = Vec::new();
    for path in paths {
        if !path.is_dir() {
            all.push(Found { path: path.clone(), keys: Vec::new() });
            continue;
        }
        let before = all.len();
        visit(path, &mut Vec::new(), &known, &mut all)?;
        if all.len() == before {
            bail!("{} is a folder without tables; give files, or a folder of them", path.display());
        }
    }
    let names = |found: &Found| found.keys.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    if let Some((first, other)) = all.first().and_then(|first| Some((first, all.iter().find(|other| names(other) != names(first))?))) {
        bail!(
            "{} is partitioned by {:?} and {} by {:?}: files of one table have the same keys",
            first.path.display(),
            names(first),
            other.path.display(),
            names(other)
        );
    }
    Ok(all)
}

fn visit(folder: &Path, keys: &mut Vec<(String, Option<String>)>, known: &impl Fn(&Path) -> bool, all: &mut Vec<Found>) -> Result<()> {
    let cannot = || format!("cannot read {}", folder.display());
    let entries = fs::read_dir(folder).with_context(cannot)?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().with_context(cannot)?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(['.', '_']) {
            continue;
        }
        if path.is_dir() {
            let key = name.split_once('=').filter(|(key, _)| !key.is_empty());
            let depth = keys.len();
            keys.extend(key.map(|(key, value)| (decoded(key), (value != NULL).then(|| decoded(value)))));
            visit(&path, keys, known, all)?;
            keys.truncate(depth);
        } else if Format::of(&path).is_some() || known(&path) {
            all.push(Found { path, keys: keys.clone() });
        }
    }
    Ok(())
}

/// Text with `%41` in place of characters that paths do not have.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).filter(|hex| bytes[at] == b'%' && hex.iter().all(u8::is_ascii_hexdigit));
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_its_tables_with_the_keys_of_their_paths() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        for name in ["y=2/c%3D=a%20b/x.csv", "y=1/c%3D=__HIVE_DEFAULT_PARTITION__/x.csv", "y=1/_SUCCESS", ".x/a.csv", "y=1/readme.pdf"] {
            fs::create_dir_all(here.join(name).parent().unwrap()).unwrap();
            fs::write(here.join(name), "").unwrap();
        }
        let found = expand(&[here.to_owned()], |_| false).unwrap();
        let keys: Vec<_> = found.iter().map(|found| found.keys.clone()).collect();
        let key = |y: &str, c: Option<&str>| vec![("y".to_owned(), Some(y.to_owned())), ("c=".to_owned(), c.map(str::to_owned))];
        assert_eq!(keys, [key("1", None), key("2", Some("a b"))]);
        fs::write(here.join("top.csv"), "").unwrap();
        assert!(expand(&[here.to_owned()], |_| false).unwrap_err().to_string().contains("same keys"));
        assert!(expand(&[here.join(".x/a.csv"), here.join("y=1")], |_| false).is_err());
        assert!(expand(&[here.join("none")], |_| false).unwrap()[0].keys.is_empty());
        fs::create_dir(here.join("empty")).unwrap();
        assert!(expand(&[here.join("empty")], |_| false).unwrap_err().to_string().contains("without tables"));
    }
}
