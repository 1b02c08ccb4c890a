//! Making a store of a backup: aside, whole, then moved into place.

use std::path::Path;
use std::time::Instant;

use sled::{Batch, Db};
use uuid::Uuid;

use super::SledOptions;
use super::files::Files;
use super::frame::{FORMAT, Record, Totals};
use super::group::TOTALS_KEY;
use super::open::{check_free_space, open_sled, unreadable};
use crate::store::backup::{Backup, RestoreError};
use crate::store::{Entry, Key, front};

/// Entries that are written at once.
const BATCH_ENTRIES: usize = 500;

/// Makes the store in the folder `dir` from the backup; there must be none.
pub(super) fn restore(
    dir: &Path,
    options: &SledOptions,
    backup: &Backup,
) -> Result<(), RestoreError> {
    let files = Files::in_folder(dir)?;
    let _lock = files.lock(Instant::now())?;
    check_free_space(&files, options)?;
    if files.store().is_dir() {
        return Err(RestoreError::NotEmpty(format!(
            "`{}`: move it away",
            files.store().display()
        )));
    }
    files.remove_new_store()?;
    let id = Uuid::new_v4().to_string();
    let db = open_sled(&files.new_store(), options, Instant::now())?;
    fill(&db, backup, &id)?;
    drop(db);
    // Both are of the store that was here before.
    files.forget_high()?;
    files.write_id(&id)?;
    Ok(files.adopt_new_store()?)
}

fn fill(db: &Db, backup: &Backup, id: &str) -> Result<(), RestoreError> {
    // What the engine writes comes after everything that was restored.
    let mut totals = Totals {
        revision: backup.revision + 1,
        ..Totals::default()
    };
    let own = [
        (front::FORMAT_KEY, FORMAT.to_string()),
        (front::ID_KEY, id.to_owned()),
    ];
    let mut batch = Batch::default();
    for (key, value) in own {
        let entry = Entry {
            key: Key::new(key),
            value: value.into(),
            created: totals.revision,
            modified: totals.revision,
        };
        add(&mut batch, &mut totals, entry);
    }
    for (place, entry) in backup.entries()?.enumerate() {
        add(&mut batch, &mut totals, entry?);
        if place % BATCH_ENTRIES == 0 {
            apply(db, std::mem::take(&mut batch))?;
        }
    }
    batch.insert(TOTALS_KEY, totals.seal());
    apply(db, batch)?;
    db.flush().map_err(|cause| unreadable(&cause))?;
    Ok(())
}

fn add(batch: &mut Batch, totals: &mut Totals, entry: Entry) {
    let (record, frame) = Record::seal(entry);
    batch.insert(record.entry.key.as_str(), frame);
    totals.add(&record);
}

fn apply(db: &Db, batch: Batch) -> Result<(), RestoreError> {
    db.apply_batch(batch).map_err(|cause| unreadable(&cause))?;
    Ok(())
}
