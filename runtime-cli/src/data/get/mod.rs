//! Public data sets, from where their authors or their keepers publish them.

mod download;

pub use download::{Client, Progress};

use crate::files;
use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A data set that this program knows where to find.
#[derive(Clone, Debug)]
pub struct Download {
    /// What `data get` calls it, and the folder that it goes into.
    pub name: &'static str,
    /// What it is, its licence and its split.
    pub about: &'static str,
    /// Where it lies: the file itself, or a zip archive of the files.
    pub url: &'static str,
    /// SHA-256 of what lies there.
    pub sha256: &'static str,
    /// Its files.
    pub files: &'static [DataFile],
}

/// A file of a [`Download`].
#[derive(Clone, Debug)]
pub struct DataFile {
    /// Its name in the folder.
    pub name: &'static str,
    /// SHA-256 of the file, where it is published apart from the archive's.
    pub sha256: Option<&'static str>,
}

/// All data sets. The archives' sums are those that several libraries pin for them; wikitext's original address is gone,
/// and the one here is its first author's.
pub const DATA_SETS: [Download; 3] = [
    Download {
        name: "tinyshakespeare",
        about: "1.1 MB of Shakespeare's plays, 65 distinct characters (public domain); hold out the last 10 %",
        url: "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        sha256: "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        files: &[DataFile { name: "input.txt", sha256: Some("86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed") }],
    },
    Download {
        name: "wikitext-2",
        about: "2.1 million words of Wikipedia articles, 33,278 distinct (CC BY-SA); train, valid and test",
        url: "https://wikitext.smerity.com/wikitext-2-v1.zip",
        sha256: "92675f1d63015c1c8b51f1656a52d5bdbc33aafa60cc47a218a66e7ee817488c",
        files: &[
            DataFile { name: "wiki.train.tokens", sha256: None },
            DataFile { name: "wiki.valid.tokens", sha256: Some("f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8") },
            DataFile { name: "wiki.test.tokens", sha256: Some("d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0") },
        ],
    },
    Download {
        name: "wikitext-103",
        about: "103 million words of Wikipedia articles, 267,735 distinct (CC BY-SA); train, valid and test",
        url: "https://wikitext.smerity.com/wikitext-103-v1.zip",
        sha256: "242ba0f20b329cfdf1ccc61e9e9e5b59becf189db7f7a81cd2a0e2fc31539590",
        files: &[
            DataFile { name: "wiki.train.tokens", sha256: None },
            DataFile { name: "wiki.valid.tokens", sha256: Some("9aee9f52d6e77de6c7751fc5e7c44287db3ec0eaf15477098acc6b93c1c4250b") },
            DataFile { name: "wiki.test.tokens", sha256: Some("56db52eb157b1ab5c89646eef70510c1eca6e12a3bfdb99f0d6b05b4eacb75b9") },
        ],
    },
];

/// A file that is there now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Got {
    /// Where.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// The data set of that name.
///
/// # Errors
/// One sentence that lists the names.
pub fn find(name: &str) -> Result<&'static Download> {
    DATA_SETS.iter().find(|set| set.name == name).ok_or_else(|| {
        let names: Vec<_> = DATA_SETS.iter().map(|set| set.name).collect();
        anyhow!("there is no data set \"{name}\"; give one of {}", names.join(", "))
    })
}

/// Puts a data set's files into `folder/NAME`, downloading what is not there yet, and checks every sum. What a download
/// that was cut left behind is gone on from.
///
/// # Errors
/// One sentence for a source that cannot be reached or has other content, and for a disk that fails.
pub fn get(set: &Download, folder: &Path, client: &Client, progress: &mut dyn FnMut(Progress)) -> Result<Vec<Got>> {
    let home = folder.join(set.name);
    if let Some(there) = there_already(set, &home)? {
        return Ok(there);
    }
    files::make_folder(&home)?;
    if !set.url.ends_with(".zip") {
        client.download(set.url, &home.join(set.files[0].name), set.sha256, progress)?;
        return set.files.iter().map(|file| inspect(&home.join(file.name))).collect();
    }
    let archive = home.join(set.url.rsplit('/').next().expect("split gives one part at least"));
    client.download(set.url, &archive, set.sha256, progress)?;
    let got = set.files.iter().map(|file| unpack(&archive, set.name, file, &home)).collect::<Result<_>>()?;
    fs::remove_file(&archive).with_context(|| format!("cannot delete {}", archive.display()))?;
    Ok(got)
}

/// The files, if all of them are there and those whose sums are known are right.
fn there_already(set: &Download, home: &Path) -> Result<Option<Vec<Got>>> {
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
    let damaged = |e: &dyn std::fmt::Display| anyhow!("{} cannot be unpacked: {e}; delete it and get it again", archive.display());
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
        bail!("{} in {} has the SHA-256 {found} and should have {sha256}: it was changed at its source", file.name, archive.display());
    }
    Ok(Got { path, bytes, sha256: found })
}

/// The SHA-256 of what is written to it.
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
