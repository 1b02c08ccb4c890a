//! The files around sled's directory, and what is done to them so that they outlast a power cut.
//!
//! In the store's folder: `store/` is sled's, `store.new/` a store that is being made, `store.id`
//! says that a store was made and which, `store.high` how far it was acknowledged, and
//! `store.lock` is held by the process that has it open.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::store::Error;

const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Where everything of one store is.
#[derive(Clone, Debug)]
pub(super) struct Files(PathBuf);

impl Files {
    /// The files of the store in the folder `dir`, which is made where missing.
    pub(super) fn in_folder(dir: &Path) -> Result<Self, Error> {
        if !dir.is_dir() {
            fs::create_dir_all(dir).map_err(|cause| failed("make the folder", dir, &cause))?;
            if let Some(parent) = dir.canonicalize().ok().as_deref().and_then(Path::parent) {
                sync_dir(parent)?;
            }
        }
        Ok(Self(dir.to_owned()))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    pub(super) fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    pub(super) fn new_store(&self) -> PathBuf {
        self.0.join("store.new")
    }

    pub(super) fn id(&self) -> PathBuf {
        self.0.join("store.id")
    }

    pub(super) fn high(&self) -> PathBuf {
        self.0.join("store.high")
    }

    /// Takes the store for this process, trying until `deadline`; let go when dropped.
    pub(super) fn lock(&self, deadline: Instant) -> Result<File, Error> {
        let path = self.0.join("store.lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|cause| failed("open", &path, &cause))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(RETRY_PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Unavailable(format!(
                        "another process has it open (`{}` is locked): stop that one first",
                        path.display()
                    )));
                }
                Err(TryLockError::Error(cause)) => return Err(failed("lock", &path, &cause)),
            }
        }
    }

    /// The id of the store that was made here, if one was.
    pub(super) fn read_id(&self) -> Result<Option<String>, Error> {
        let path = self.id();
        match fs::read_to_string(&path) {
            Ok(id) => Ok(Some(id.trim().to_owned())),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(failed("read", &path, &cause)),
        }
    }

    /// Notes durably that the store `id` was made here.
    pub(super) fn write_id(&self, id: &str) -> Result<(), Error> {
        let (path, new) = (self.id(), self.0.join("store.id.new"));
        let write = || {
            let mut file = File::create(&new)?;
            writeln!(file, "{id}")?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().map_err(|cause| failed("write", &path, &cause))?;
        sync_dir(&self.0)
    }

    /// Removes the note of how far a store that is no longer here was acknowledged.
    pub(super) fn forget_high(&self) -> Result<(), Error> {
        let path = self.high();
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &path, &cause))
            }
            _ => Ok(()),
        }
    }

    /// Moves the new store into its place, durably.
    pub(super) fn adopt_new_store(&self) -> Result<(), Error> {
        let (from, to) = (self.new_store(), self.store());
        sync_tree(&from)?;
        fs::rename(&from, &to).map_err(|cause| failed("rename", &from, &cause))?;
        sync_dir(&self.0)
    }

    /// Removes a new store whose making was interrupted.
    pub(super) fn remove_new_store(&self) -> Result<(), Error> {
        let path = self.new_store();
        match fs::remove_dir_all(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &path, &cause))
            }
            _ => Ok(()),
        }
    }

    /// Removes the snapshots that sled did not finish, which it would take for the newest ones.
    pub(super) fn remove_unfinished_snapshots(&self) -> Result<(), Error> {
        let store = self.store();
        for path in list(&store)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("snap.") && name.ends_with(".generating") {
                fs::remove_file(&path).map_err(|cause| failed("remove", &path, &cause))?;
            }
        }
        sync_dir(&store)
    }

    /// How many values sled put into files of their own, which it never makes durable.
    pub(super) fn count_blobs(&self) -> Result<usize, Error> {
        let path = self.store().join("blobs");
        if path.is_dir() {
            Ok(list(&path)?.len())
        } else {
            Ok(0)
        }
    }

    /// The bytes that are free for us where the store is.
    pub(super) fn free_bytes(&self) -> Result<u64, Error> {
        fs4::available_space(&self.0)
            .map_err(|cause| failed("ask for the free space of", &self.0, &cause))
    }
}

/// Makes a folder, all folders below it and their files durable.
pub(super) fn sync_tree(dir: &Path) -> Result<(), Error> {
    for path in list(dir)? {
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            sync_file(&path)?;
        }
    }
    sync_dir(dir)
}

/// Makes the names in a folder durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), Error> {
    sync_file(dir)
}

/// The error that says what could not be done to which file.
pub(super) fn failed(what: &str, path: &Path, cause: &io::Error) -> Error {
    Error::Unavailable(format!("could not {what} `{}`: {cause}", path.display()))
}

fn sync_file(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|cause| failed("sync", path, &cause))
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    fs::read_dir(dir)
        .and_then(|found| found.map(|file| file.map(|file| file.path())).collect())
        .map_err(|cause| failed("list", dir, &cause))
}
