//! Downloads public data sets.

mod download;

pub(crate) use download::Failure;
pub use download::{Client, Progress};

use super::sets::{DataFile, Download};
use crate::files;
use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A verified file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Got {
    /// Its path.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// Downloads the missing files of a data set into `folder/NAME`, and verifies all checksums. Interrupted downloads are resumed.
///
/// # Errors
/// Those of [`Client::download`], and an archive that cannot be unpacked.
pub fn get(set: &Download, folder: &Path, client: &Client, progress: &mut dyn FnMut(Progress)) -> Result<Vec<Got>> {
    let home = folder.join(set.name);
    if let Some(existing) = existing(set, &home)? {
        return Ok(existing);
    }
    files::make_folder(&home)?;
    if !set.url.ends_with(".zip") {
        client.download(set.url, &home.join(set.files[0].name), Some(set.sha256), progress)?;
        return set.files.iter().map(|file| inspect(&home.join(file.name))).collect();
    }
    let archive = home.join(set.url.rsplit('/').next().expect("split gives one part at least"));
    client.download(set.url, &archive, Some(set.sha256), progress)?;
    let got = set.files.iter().map(|file| unpack(&archive, set.name, file, &home)).collect::<Result<_>>()?;
    fs::remove_file(&archive).with_context(|| format!("cannot delete {}", archive.display()))?;
    Ok(got)
}

/// The files, if all exist and match their known checksums.
fn existing(set: &Download, home: &Path) -> Result<Option<Vec<Got>>> {
    if !set.files.iter().all(|file| home.join(file.name).is_file()) {
        return Ok(None);
    }
    let got: Vec<Got> = set.files.iter().map(|file| inspect(&home.join(file.name))).collect::<Result<_>>()?;
    let right = got.iter().zip(set.files).all(|(got, file)| file.sha256.is_none_or(|sha256| sha256 == got.sha256));
    Ok(right.then_some(got))
}

fn inspect(path: &Path) -> Result<Got> {
    let mut sum = Sum { hash: Sha256::new(), bytes: 0 };
    io::copy(&mut files::open(path)?, &mut sum).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Got { path: path.to_owned(), bytes: sum.bytes, sha256: sum.finish() })
}

fn unpack(archive: &Path, folder: &str, file: &DataFile, home: &Path) -> Result<Got> {
    let damaged = |e: &dyn std::fmt::Display| anyhow!("{} cannot be unpacked: {e}; delete it and download it again", archive.display());
    let mut zip = zip::ZipArchive::new(File::open(archive).map_err(|e| damaged(&e))?).map_err(|e| damaged(&e))?;
    let mut member = zip.by_name(&format!("{folder}/{}", file.name)).map_err(|e| damaged(&e))?;
    let path = home.join(file.name);
    let mut sum = Sum { hash: Sha256::new(), bytes: 0 };
    files::write_atomically(&path, |w| {
        let mut buffer = vec![0; 1 << 18];
        loop {
            let n = member.read(&mut buffer)?;
            if n == 0 {
                return Ok(());
            }
            sum.write_all(&buffer[..n])?;
            w.write_all(&buffer[..n])?;
        }
    })?;
    let (bytes, found) = (sum.bytes, sum.finish());
    if let Some(sha256) = file.sha256.filter(|&sha256| sha256 != found) {
        fs::remove_file(&path).with_context(|| format!("cannot delete {}", path.display()))?;
        bail!("{} in {} has the SHA-256 {found} instead of {sha256}: it was changed at its source", file.name, archive.display());
    }
    Ok(Got { path, bytes, sha256: found })
}

/// Hashes and counts the bytes written to it.
struct Sum {
    hash: Sha256,
    bytes: u64,
}

impl Sum {
    fn finish(self) -> String {
        self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
