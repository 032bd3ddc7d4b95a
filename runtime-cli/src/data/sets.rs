//! Public data sets and their official sources.

use anyhow::{Result, anyhow};

/// A downloadable data set.
#[derive(Clone, Debug)]
pub struct Download {
    /// Its name in `data get`, and that of its folder.
    pub name: &'static str,
    /// Description, licence and split.
    pub about: &'static str,
    /// URL of the file itself, or of a zip archive of the files.
    pub url: &'static str,
    /// SHA-256 of the download.
    pub sha256: &'static str,
    /// Its files.
    pub files: &'static [DataFile],
}

/// A file of a [`Download`].
#[derive(Clone, Debug)]
pub struct DataFile {
    /// Its name in the folder.
    pub name: &'static str,
    /// SHA-256 of the file, if published separately from that of the archive.
    pub sha256: Option<&'static str>,
}

/// All data sets. The checksums of the archives are those that several libraries use; the original URL of wikitext no longer
/// exists, and the one here is that of its first author.
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

/// The data set with this name.
///
/// # Errors
/// An unknown name; the message lists the names.
pub fn find(name: &str) -> Result<&'static Download> {
    DATA_SETS.iter().find(|set| set.name == name).ok_or_else(|| {
        let names: Vec<_> = DATA_SETS.iter().map(|set| set.name).collect();
        anyhow!("unknown data set \"{name}\"; the data sets are {}", names.join(", "))
    })
}
