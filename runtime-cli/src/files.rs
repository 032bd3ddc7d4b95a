//! Files that are opened with a clear word, and written whole or not at all.

use anyhow::{Context, Result, anyhow, bail};
use memmap2::Mmap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes a file so that `path` holds either what it held before or all that `write` wrote, whatever fails in between:
/// beside it first, synced to the disk, then renamed, and the folder synced too.
///
/// # Errors
/// One sentence naming the path, the cause and the remedy; nothing half-written stays.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    if path.is_dir() {
        bail!("cannot write {}: it is a folder; give a file's name", path.display());
    }
    replace(path, write).map_err(|e| anyhow!("cannot write {}: {}", path.display(), remedy(&e)))
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let folder = folder_of(path);
    let mut beside = temporary(0o666).tempfile_in(&folder)?;
    let mut buffered = BufWriter::with_capacity(1 << 20, beside.as_file_mut());
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    beside.as_file().sync_all()?;
    beside.persist(path).map_err(|e| e.error)?;
    sync_folder(&folder)
}

/// A path as a word of a shell's command line.
pub(crate) fn shown(path: &Path) -> String {
    let path = path.display().to_string();
    if path.contains(' ') { format!("'{path}'") } else { path }
}

/// What the names of unfinished files begin with.
pub(crate) const TEMPORARY: &str = ".hh-";

/// Names what is not yet whole; a run that was killed may leave one, and it is safe to delete. `mode` is what a new file
/// (`0o666`) or folder (`0o777`) has before the umask: the crate's own choice can be read by its owner alone.
pub(crate) fn temporary(mode: u32) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY).suffix(".unfinished");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    builder
}

/// The folder that holds a path.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Makes a rename survive a power cut, where the system can sync a folder.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Makes a folder and those above it.
///
/// # Errors
/// One sentence naming the folder, the cause and the remedy.
pub fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            anyhow!("cannot make the folder {}: a file stands in its place; give another name", folder.display())
        }
        _ => anyhow!("cannot make the folder {}: {}", folder.display(), remedy(&e)),
    })
}

/// The folders of a path that are not there yet, innermost first.
pub(crate) fn missing(path: &Path) -> Vec<PathBuf> {
    let parts = path.ancestors().filter(|part| !part.as_os_str().is_empty());
    parts.take_while(|part| !part.exists()).map(Path::to_path_buf).collect()
}

/// Opens a file for reading.
///
/// # Errors
/// One sentence for a missing file, a folder, and a file that may not be read.
pub fn open(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|e| anyhow!("cannot read {}: {}", path.display(), obstacle(&e)))?;
    if file.metadata().with_context(|| format!("cannot read {}", path.display()))?.is_dir() {
        bail!("cannot read {}: it is a folder; give a file's name", path.display());
    }
    Ok(file)
}

/// Maps a file into memory, to be read.
///
/// # Errors
/// As [`open`], and where the system cannot map it.
pub(crate) fn map(path: &Path) -> Result<Mmap> {
    let file = open(path)?;
    // SAFETY: the map is only read, as bytes, of which any value is valid. A program that shortens the file while it is
    // mapped makes this one end with a bus error; no file of ours is written in place, so that takes ill will.
    unsafe { Mmap::map(&file) }.with_context(|| format!("cannot map {} into memory", path.display()))
}

/// Reads a whole text file, of a size for memory: a configuration, a tokenizer, a manifest.
///
/// # Errors
/// As [`open`], and where the file is not UTF-8.
pub fn read_to_string(path: &Path) -> Result<String> {
    io::read_to_string(open(path)?).map_err(|e| match e.kind() {
        io::ErrorKind::InvalidData => anyhow!("cannot read {}: it is not UTF-8 text", path.display()),
        _ => anyhow!("cannot read {}: {e}", path.display()),
    })
}

fn obstacle(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::NotFound => "there is no such file; check the name".into(),
        io::ErrorKind::PermissionDenied => "you may not read it; change its permissions".into(),
        io::ErrorKind::NotADirectory => "a part of its path is a file, not a folder; check the name".into(),
        _ => e.to_string(),
    }
}

/// What a failed write means to whoever asked for it.
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
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_atomically(&path, |w| w.write_all(b"one")).unwrap();
        write_atomically(&path, |w| w.write_all(b"two")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_full_disk_leaves_what_was_there() {
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
    fn a_place_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let fail = |path: &Path| write_atomically(path, |w| w.write_all(b"x")).unwrap_err().to_string();
        assert!(fail(&folder.path().join("no/such")).contains("its folder does not exist"));
        assert!(fail(folder.path()).contains("it is a folder"));
        assert!(fail(&file.join("below")).contains("not a folder"));
        assert!(make_folder(&file).unwrap_err().to_string().contains("a file stands in its place"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(open(&folder.path().join("none")).unwrap_err().to_string().contains("no such file"));
        assert!(open(folder.path()).unwrap_err().to_string().contains("it is a folder"));
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_has_the_permissions_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write_atomically(&ours, |w| w.write_all(b"x")).unwrap();
        fs::write(&plain, b"x").unwrap();
        assert_eq!(fs::metadata(ours).unwrap().permissions().mode(), fs::metadata(plain).unwrap().permissions().mode());
    }
}
