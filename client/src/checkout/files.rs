//! Writing files whole or not at all, and private ones privately.

use std::io::{self, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::failure::Failure;

/// Replaces `path` by `text`, durably: a reader sees the old file or the new one, also after a power cut.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<(), Failure> {
    replace(path, text, Readers::Everybody, Survives::PowerCut)
        .map_err(|cause| Failure::file("write", path, &cause))
}

/// The same for a file that only its owner may read.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    replace(path, text, Readers::Owner, Survives::PowerCut)
        .map_err(|cause| Failure::file("write", path, &cause))
}

/// The same without waiting for the disk: a power cut may lose the file or empty it.
pub(super) fn write_private_soon(path: &Path, text: &str) -> Result<(), Failure> {
    replace(path, text, Readers::Owner, Survives::Crash)
        .map_err(|cause| Failure::file("write", path, &cause))
}

/// A file's text; `None` if there is no such file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Failure::file("read", path, &cause)),
    }
}

/// Makes a directory that only its owner may enter.
pub(super) fn make_private_directory(path: &Path) -> Result<(), Failure> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|cause| Failure::file("make", path, &cause))
}

enum Readers {
    Owner,
    Everybody,
}

/// What a file outlives once it is written.
#[derive(PartialEq)]
enum Survives {
    Crash,
    PowerCut,
}

fn replace(path: &Path, text: &str, readers: Readers, survives: Survives) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // A temporary file is private from the start.
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    #[cfg(unix)]
    if matches!(readers, Readers::Everybody) {
        use std::os::unix::fs::PermissionsExt as _;
        file.as_file()
            .set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    #[cfg(not(unix))]
    let _ = readers;
    if survives == Survives::Crash {
        file.persist(path)?;
        return Ok(());
    }
    file.as_file().sync_all()?;
    file.persist(path)?;
    #[cfg(unix)]
    std::fs::File::open(directory)?.sync_all()?;
    Ok(())
}
