//! Opening a store: everything that must be true before the first transaction is acknowledged.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sled::{Db, IVec};
use uuid::Uuid;

use super::SledOptions;
use super::disk::{Disk, SledDisk};
use super::files::{self, Files};
use super::frame::{FORMAT, Record, Totals};
use super::group::{Group, TOTALS_KEY};
use super::high::HighMark;
use super::view::{Slot, View};
use crate::store::{Error, Key, Operation, Transaction, front};

/// Fixed when a store is made. Larger segments keep values out of `blobs/`, which is never durable.
const SEGMENT_BYTES: usize = 4 * 1024 * 1024;
/// How long a lock is waited for: sled lets go of its own some time after it was closed.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Opens the store in the folder `dir`, or makes one; gives what writes it, and all that it holds.
pub(super) fn open(dir: &Path, options: &SledOptions) -> Result<(SledDisk, View), Error> {
    let deadline = Instant::now() + LOCK_WAIT;
    let files = Files::in_folder(dir)?;
    let lock = files.lock(deadline)?;
    check_free_space(&files, options)?;
    if !files.store().is_dir() {
        create(&files, options)?;
    }
    files.remove_unfinished_snapshots()?;
    let db = open_sled(&files.store(), options, deadline)?;
    let view = load(&db)?;
    check_id(&files, &view)?;
    check_blobs(&files)?;
    let disk = settle(files, lock, db, &view)?;
    release_old_leases(disk, view)
}

pub(super) fn check_free_space(files: &Files, options: &SledOptions) -> Result<(), Error> {
    let (free, need) = (files.free_bytes()?, options.open_bytes_free_min);
    if free < need {
        return Err(Error::Unavailable(format!(
            "{free} bytes are free for `{}`, opening needs {need}: free some space",
            files.folder().display()
        )));
    }
    Ok(())
}

/// Makes a store aside and moves it into place, so that a store is whole or not there at all.
fn create(files: &Files, options: &SledOptions) -> Result<(), Error> {
    if let Some(id) = files.read_id()? {
        return Err(Error::Unavailable(format!(
            "the store `{}` is missing, but `{}` says that `{id}` was made here: \
             restore it from a backup, or remove that file to begin with nothing",
            files.store().display(),
            files.id().display()
        )));
    }
    files.remove_new_store()?;
    let put = |key, value: String| Operation::Put(Key::new(key), value.into());
    let mut group = Group::on(&View::default());
    group.take(&Transaction {
        conditions: Vec::new(),
        operations: vec![
            put(front::FORMAT_KEY, FORMAT.to_string()),
            put(front::ID_KEY, Uuid::new_v4().to_string()),
        ],
    })?;
    let db = open_sled(&files.new_store(), options, Instant::now())?;
    db.apply_batch(group.batch())
        .and_then(|()| db.flush())
        .map_err(|cause| unreadable(&cause))?;
    drop(db);
    files.adopt_new_store()
}

pub(super) fn open_sled(
    path: &Path,
    options: &SledOptions,
    deadline: Instant,
) -> Result<Db, Error> {
    let config = sled::Config::new()
        .path(path)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(options.cache_bytes);
    loop {
        match config.open() {
            Ok(db) => return Ok(db),
            Err(cause) if is_still_locked(&cause) && Instant::now() < deadline => {
                std::thread::sleep(LOCK_RETRY_PAUSE);
            }
            Err(cause) => return Err(unreadable(&cause)),
        }
    }
}

fn is_still_locked(cause: &sled::Error) -> bool {
    // sled has no kind of error for it.
    matches!(cause, sled::Error::Io(io) if io.to_string().contains("could not acquire lock"))
}

pub(super) fn unreadable(cause: &sled::Error) -> Error {
    Error::Unavailable(format!("sled could not open its file: {cause}"))
}

/// Reads and checks every record.
fn load(db: &Db) -> Result<View, Error> {
    let mut view = View {
        totals: load_totals(db)?,
        ..View::default()
    };
    let mut found = Totals {
        revision: view.totals.revision,
        ..Totals::default()
    };
    let mut last = String::new();
    for record in db.iter() {
        let (key, frame) = record.map_err(|cause| Error::Damaged {
            key: last.clone(),
            cause: format!("what follows it cannot be read: {cause}"),
        })?;
        if key == TOTALS_KEY {
            continue;
        }
        let (key, slot) = load_slot(&key, &frame);
        match &slot {
            Slot::Sound(record) => found.add(record),
            Slot::Damaged(_) => found.entries += 1,
        }
        key.as_str().clone_into(&mut last);
        view.slots.insert(key, slot);
    }
    check_totals(&view, found)?;
    Ok(view)
}

fn load_totals(db: &Db) -> Result<Totals, Error> {
    let damaged = |cause| Error::Damaged {
        key: "totals".to_owned(),
        cause,
    };
    let bytes = db.get(TOTALS_KEY).map_err(|cause| unreadable(&cause))?;
    let bytes = bytes
        .ok_or_else(|| damaged("it is missing: restore the store from a backup".to_owned()))?;
    match bytes.first() {
        Some(&format) if format > FORMAT => Err(Error::Unavailable(format!(
            "the store has the format `{format}`, this program reads up to `{FORMAT}`: use a newer program"
        ))),
        _ => Totals::open(&bytes).map_err(damaged),
    }
}

fn load_slot(key: &IVec, frame: &[u8]) -> (Key, Slot) {
    let text = String::from_utf8_lossy(key);
    let slot = match Record::open(&text, frame) {
        Ok(record) => Slot::Sound(Arc::new(record)),
        Err(cause) => Slot::Damaged(cause.into()),
    };
    (Key::new(text), slot)
}

/// Compares what was found with what was written last.
fn check_totals(view: &View, found: Totals) -> Result<(), Error> {
    let stored = view.totals;
    let is_damaged = view.damaged().next().is_some();
    // The sum cannot match where a record is damaged, and that one is named when it is asked for.
    let is_complete = stored.entries == found.entries && (is_damaged || stored == found);
    if !is_complete {
        return Err(Error::Damaged {
            key: "totals".to_owned(),
            cause: format!(
                "{} records with the sum `{:x}` were found, {} with `{:x}` were written: \
                 records are lost or old, restore the store from a backup",
                found.entries, found.checksums, stored.entries, stored.checksums
            ),
        });
    }
    Ok(())
}

/// Makes sure that this is the store that was made here, and notes it where that is not yet done.
fn check_id(files: &Files, view: &View) -> Result<(), Error> {
    let entry = view.get(&Key::new(front::ID_KEY))?;
    let id = entry
        .map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
        .unwrap_or_default();
    match files.read_id()? {
        Some(noted) if noted == id => Ok(()),
        Some(noted) => Err(Error::Unavailable(format!(
            "`{}` names the store `{noted}`, but `{}` holds `{id}`: put the right one back, \
             or remove that file to use this one",
            files.id().display(),
            files.store().display()
        ))),
        None => files.write_id(&id),
    }
}

fn check_blobs(files: &Files) -> Result<(), Error> {
    let blobs = files.count_blobs()?;
    if blobs > 0 {
        return Err(Error::Unavailable(format!(
            "`{}` has {blobs} files in `blobs`, which a power cut can take: restore it from a backup",
            files.store().display()
        )));
    }
    Ok(())
}

/// Makes durable what opening changed, and compares with what was acknowledged.
fn settle(files: Files, lock: File, db: Db, view: &View) -> Result<SledDisk, Error> {
    let revision = view.totals.revision;
    if let Some(high) = HighMark::read(&files.high())?
        && high > revision
    {
        return Err(Error::Unavailable(format!(
            "the store ends at revision {revision}, but {high} was acknowledged: its file was cut or damaged; \
             restore it from a backup, or remove `{}` to go on without what is lost",
            files.high().display()
        )));
    }
    files::sync_tree(&files.store())?;
    let high = HighMark::open(&files.high(), revision)?;
    files::sync_dir(files.folder())?;
    SledDisk::new(files, db, high, lock)
}

/// Removes the leases of the process that had the store before.
fn release_old_leases(mut disk: SledDisk, view: View) -> Result<(SledDisk, View), Error> {
    let leases = view.under(front::LEASE_PREFIX, None);
    let operations: Vec<_> = leases
        .map(|(key, _)| Operation::Delete(key.clone()))
        .collect();
    let mut group = Group::on(&view);
    group.take(&Transaction {
        conditions: Vec::new(),
        operations,
    })?;
    if !group.is_unchanged() {
        disk.commit(&mut group).map_err(Error::Unavailable)?;
    }
    Ok((disk, group.view))
}
