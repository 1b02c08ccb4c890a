//! Where in etcd the store is: its keys behind the prefix, its revisions above the base.
//!
//! etcd counts its own revisions, and nothing can set them. A store that was restored from elsewhere
//! has records that name revisions of its former life, so its revisions are etcd's own plus a base,
//! which the restore writes once: the backup's revision, above which everything new must lie. What was
//! restored and not put since keeps the revisions it had. (Put again, it counts as created when it was
//! restored; only leases, which are never restored, depend on when a key was created.)

use crate::store::{Entry, Error, Key, Revision};

use pinion_etcd_api::KeyValue;

use super::frame;

/// The part of etcd that is the store's own.
#[derive(Clone, Debug)]
pub(super) struct Space {
    prefix: String,
    /// What is added to etcd's revisions.
    pub(super) base: Revision,
}

impl Space {
    /// The space under `prefix`, with etcd's own revisions.
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            base: 0,
        }
    }

    /// A key, or a prefix of keys, as etcd has it.
    pub(super) fn key(&self, key: &str) -> Vec<u8> {
        format!("{}{key}", self.prefix).into_bytes()
    }

    /// The first key of etcd's that comes after all keys that begin with `prefix`.
    pub(super) fn end(&self, prefix: &str) -> Vec<u8> {
        let mut end = self.key(prefix);
        // Neither a key nor the prefix is empty, and both are ASCII, so this never overflows.
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        end
    }

    /// The store's revision at etcd's.
    pub(super) fn revision(&self, native: i64) -> Revision {
        self.base + native.unsigned_abs()
    }

    /// etcd's revision at the store's; nothing if it is from before the base.
    pub(super) fn native(&self, revision: Revision) -> Option<i64> {
        i64::try_from(revision.checked_sub(self.base)?).ok()
    }

    /// The key of the store's that etcd has as `key`.
    pub(super) fn own_key(&self, key: &[u8]) -> Key {
        let own = key.get(self.prefix.len()..).unwrap_or_default();
        Key::new(String::from_utf8_lossy(own))
    }

    /// The entry that etcd has; the error names its key.
    pub(super) fn entry(&self, found: &KeyValue) -> Result<Entry, Error> {
        let key = self.own_key(&found.key);
        match frame::open(key.as_str(), &found.value) {
            Ok(opened) => {
                let (created, modified) = opened.restored.unwrap_or_else(|| {
                    (
                        self.revision(found.create_revision),
                        self.revision(found.mod_revision),
                    )
                });
                Ok(Entry {
                    value: opened.value,
                    created,
                    modified,
                    key,
                })
            }
            Err(cause) => Err(Error::Damaged {
                key: key.to_string(),
                cause,
            }),
        }
    }
}
