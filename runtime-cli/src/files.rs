//! File access with clear errors and atomic writes.

use anyhow::{Context, Result, anyhow, bail};
use memmap2::Mmap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempDir};

/// Writes a file atomically: `path` has either its previous content or the complete output of `write`, whatever fails in
/// between. The output goes to a temporary file in the same folder, which is synced and renamed; then the folder is synced.
///
/// # Errors
/// A file that cannot be written, with path, cause and remedy; the temporary file is removed.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    if path.is_dir() {
        bail!("cannot write {}: it is a folder; give the name of a file", path.display());
    }
    replace(path, write).map_err(|e| anyhow!("cannot write {}: {}", path.display(), remedy(&e)))
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let folder = folder_of(path);
    let mut unfinished = unfinished_in(&folder)?;
    let mut buffered = BufWriter::with_capacity(1 << 20, unfinished.as_file_mut());
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    unfinished.as_file().sync_all()?;
    unfinished.persist(path).map_err(|e| e.error)?;
    sync_folder(&folder)
}

/// An unfinished file in a folder, which is deleted when it is dropped. It is locked, so that [`remove_stale`] can tell it from
/// one whose process was killed.
pub(crate) fn unfinished_in(folder: &Path) -> io::Result<NamedTempFile> {
    let file = temporary(0o666).tempfile_in(folder)?;
    // On a file system without locks nothing is removed as stale.
    let _ = file.as_file().try_lock();
    Ok(file)
}

/// As [`unfinished_in`], a folder, with what holds its lock.
pub(crate) fn unfinished_folder_in(folder: &Path) -> io::Result<(TempDir, Option<File>)> {
    let made = temporary(0o777).tempdir_in(folder)?;
    let lock = File::open(made.path()).ok().filter(|lock| lock.try_lock().is_ok());
    Ok((made, lock))
}

/// Removes what killed processes left unfinished in a folder; best effort, since it does no harm but takes space.
pub(crate) fn remove_stale(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.as_encoded_bytes();
        let Ok(kind) = entry.file_type() else { continue };
        let unfinished =
            name.starts_with(TEMPORARY.as_bytes()) && name.ends_with(UNFINISHED.as_bytes()) && (kind.is_file() || kind.is_dir());
        if unfinished && File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = if kind.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }
}

/// A path as a word of a shell's command line.
pub(crate) fn shown(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    match path.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(plain) => text.to_owned(),
        Some(text) if !text.contains(char::is_control) => format!("'{}'", text.replace('\'', "'\\''")),
        _ => format!("$'{}'", bytes.escape_ascii()),
    }
}

/// A relative path as a part of an address; `/` stays.
#[cfg(any(feature = "download", feature = "plots"))]
pub(crate) fn percent_encoded(path: &str) -> String {
    let mut encoded = String::new();
    for &byte in path.as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            byte => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

/// An absolute path that can be part of a recipe, which is text.
///
/// # Errors
/// A path that is not Unicode.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).with_context(|| format!("cannot use the path {}", path.display()))?;
    require_unicode(&path)?;
    Ok(path)
}

/// Refuses a path that cannot be part of a recipe.
///
/// # Errors
/// A path that is not Unicode.
pub(crate) fn require_unicode(path: &Path) -> Result<()> {
    match path.to_str() {
        Some(_) => Ok(()),
        None => bail!("the path {} is not Unicode, and a recipe, which stores it, is text: rename it, or give a link to it", shown(path)),
    }
}

/// Serialises a path for a report; what is not Unicode in it is replaced.
pub(crate) fn display<S: serde::Serializer>(path: &Path, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// Prefix of the names of unfinished files.
pub(crate) const TEMPORARY: &str = ".hh-";
/// The end of their names.
const UNFINISHED: &str = ".unfinished";

/// A builder of temporary files and folders. `mode` is that of
/// a new file (`0o666`) or folder (`0o777`) before the umask; the default of the crate is readable only by its owner.
pub(crate) fn temporary(mode: u32) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY).suffix(UNFINISHED);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    builder
}

/// The parent folder of a path.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Syncs a folder, on Unix, so that a rename in it survives a power failure.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Creates a folder and its parents.
///
/// # Errors
/// A folder that cannot be created, with cause and remedy.
pub fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            anyhow!("cannot make the folder {}: a file has that name; give another name", folder.display())
        }
        _ => anyhow!("cannot make the folder {}: {}", folder.display(), remedy(&e)),
    })
}

/// The folders of a path that do not exist yet, innermost first.
pub(crate) fn missing(path: &Path) -> Vec<PathBuf> {
    let parts = path.ancestors().filter(|part| !part.as_os_str().is_empty());
    parts.take_while(|part| !part.exists()).map(Path::to_path_buf).collect()
}

/// Opens a file for reading.
///
/// # Errors
/// A missing file, a folder, or a file that cannot be read.
pub fn open(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|e| anyhow!("cannot read {}: {}", path.display(), read_remedy(&e)))?;
    if file.metadata().with_context(|| format!("cannot read {}", path.display()))?.is_dir() {
        bail!("cannot read {}: it is a folder; give the name of a file", path.display());
    }
    Ok(file)
}

/// Maps a file into memory, read-only.
///
/// # Errors
/// As [`open`], and a file that cannot be mapped.
pub(crate) fn map(path: &Path) -> Result<Mmap> {
    let file = open(path)?;
    // SAFETY: the map is only read, as bytes, of which any value is valid. Truncating the file while it is mapped ends this
    // program with a bus error; this program never truncates or writes such files in place.
    unsafe { Mmap::map(&file) }.with_context(|| format!("cannot map {} into memory", path.display()))
}

/// Reads a whole text file into memory: a configuration, a tokenizer, a manifest.
///
/// # Errors
/// As [`open`], and a file that is not UTF-8.
pub fn read_to_string(path: &Path) -> Result<String> {
    io::read_to_string(open(path)?).map_err(|e| match e.kind() {
        io::ErrorKind::InvalidData => anyhow!("cannot read {}: it is not UTF-8 text", path.display()),
        _ => anyhow!("cannot read {}: {e}", path.display()),
    })
}

fn read_remedy(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::NotFound => "there is no such file; check the name".into(),
        io::ErrorKind::PermissionDenied => "you may not read it; change its permissions".into(),
        io::ErrorKind::NotADirectory => "a part of its path is a file, not a folder; check the name".into(),
        _ => e.to_string(),
    }
}

/// The cause of a failed write, with a remedy.
pub(crate) fn remedy(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full; free some space, or write to another disk".into(),
        io::ErrorKind::FileTooLarge => "the file would be larger than this system allows; write to another disk".into(),
        io::ErrorKind::ReadOnlyFilesystem => "the disk is read-only; write to another folder".into(),
        io::ErrorKind::PermissionDenied => "the folder may not be written to; change its permissions, or write to another folder".into(),
        io::ErrorKind::NotFound => "its folder does not exist; make it first, or write to another folder".into(),
        io::ErrorKind::NotADirectory => "a part of its path is a file, not a folder; check the name".into(),
        _ => e.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_atomically() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_atomically(&path, |w| w.write_all(b"one")).unwrap();
        write_atomically(&path, |w| w.write_all(b"two")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_full_disk_keeps_the_previous_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_atomically(&path, |w| w.write_all(b"one")).unwrap();
        let error = write_atomically(&path, |w| {
            w.write_all(&[0; 4 << 20])?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(
            error.unwrap_err().to_string(),
            format!("cannot write {}: the disk is full; free some space, or write to another disk", path.display())
        );
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_path_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let fail = |path: &Path| write_atomically(path, |w| w.write_all(b"x")).unwrap_err().to_string();
        assert!(fail(&folder.path().join("no/such")).contains("its folder does not exist"));
        assert!(fail(folder.path()).contains("it is a folder"));
        assert!(fail(&file.join("below")).contains("not a folder"));
        assert!(make_folder(&file).unwrap_err().to_string().contains("a file has that name"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(open(&folder.path().join("none")).unwrap_err().to_string().contains("no such file"));
        assert!(open(folder.path()).unwrap_err().to_string().contains("it is a folder"));
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_has_default_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write_atomically(&ours, |w| w.write_all(b"x")).unwrap();
        fs::write(&plain, b"x").unwrap();
        assert_eq!(fs::metadata(ours).unwrap().permissions().mode(), fs::metadata(plain).unwrap().permissions().mode());
    }
}
