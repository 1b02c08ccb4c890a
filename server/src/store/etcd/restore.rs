//! Making a store of a backup, under a prefix that is empty.
//!
//! Until everything is there, a marker says so, and no server opens it. The marker names the backup, so
//! that a restore which was interrupted is taken up again by running it again.

use pinion_etcd_api::{RequestOp, TxnRequest, TxnResponse};
use uuid::Uuid;

use super::endpoints::{Endpoints, Line, Repeat};
use super::fault::Fault;
use super::frame::{self, FORMAT};
use super::open::check_members;
use super::options::EtcdOptions;
use super::space::Space;
use super::transact::{created_at, delete, found, get, put, put_frame};
use crate::store::backup::{Backup, RestoreError};
use crate::store::{Entry, Error, Revision, TXN_BYTES_MAX, TXN_ITEMS_MAX, front};

/// Where a restore goes.
struct Target {
    endpoints: Endpoints,
    space: Space,
    /// When the marker came into being, as etcd counts.
    begun: i64,
}

/// Makes the store from the backup; there must be none.
pub(super) async fn restore(options: &EtcdOptions, backup: &Backup) -> Result<(), RestoreError> {
    options
        .validate()
        .map_err(|cause| Error::Invalid(cause.to_string()))?;
    let endpoints = Endpoints::new(options)?;
    check_members(&endpoints).await?;
    let target = begin(endpoints, Space::new(&options.prefix), backup).await?;
    target.fill(backup).await?;
    target.end(backup.revision).await
}

/// Puts the marker where nothing is, or finds that of the same backup.
async fn begin(
    endpoints: Endpoints,
    space: Space,
    backup: &Backup,
) -> Result<Target, RestoreError> {
    let marker = hex::encode(backup.digest);
    let mut is_empty = created_at(space.key(""), 0);
    is_empty.range_end = space.end("");
    let request = TxnRequest {
        compare: vec![is_empty],
        success: vec![put(&space, front::RESTORING_KEY, marker.as_bytes(), 0)],
        failure: vec![get(space.key(front::RESTORING_KEY))],
    };
    let answer = txn(&endpoints, request).await?;
    let begun = if answer.succeeded {
        answer.header.unwrap_or_default().revision
    } else {
        let Some(kept) = found(&answer, 0) else {
            return Err(RestoreError::NotEmpty(
                "etcd has keys under the prefix: choose another `prefix`, or remove them"
                    .to_owned(),
            ));
        };
        if space.entry(kept)?.value != marker {
            return Err(RestoreError::NotEmpty(
                "the restore of another backup was begun under the prefix: run that one again, or remove its keys"
                    .to_owned(),
            ));
        }
        kept.create_revision
    };
    Ok(Target {
        endpoints,
        space,
        begun,
    })
}

impl Target {
    async fn fill(&self, backup: &Backup) -> Result<(), RestoreError> {
        let (mut puts, mut bytes) = (Vec::new(), 0);
        for entry in backup.entries()? {
            let entry = entry?;
            let size = entry.key.as_str().len() + entry.value.len();
            if puts.len() == TXN_ITEMS_MAX || bytes + size > TXN_BYTES_MAX {
                self.write(std::mem::take(&mut puts)).await?;
                bytes = 0;
            }
            bytes += size;
            puts.push(self.put(&entry));
        }
        if !puts.is_empty() {
            self.write(puts).await?;
        }
        Ok(())
    }

    fn put(&self, entry: &Entry) -> RequestOp {
        let frame = frame::seal_restored(entry);
        put_frame(self.space.key(entry.key.as_str()), frame, 0)
    }

    /// Puts the base and the identity, and takes the marker away.
    async fn end(&self, revision: Revision) -> Result<(), RestoreError> {
        let own = |key, value: String| put(&self.space, key, value.as_bytes(), 0);
        self.write(vec![
            own(front::BASE_KEY, revision.to_string()),
            own(front::FORMAT_KEY, FORMAT.to_string()),
            own(front::ID_KEY, Uuid::new_v4().to_string()),
            delete(&self.space, front::RESTORING_KEY),
        ])
        .await
    }

    async fn write(&self, operations: Vec<RequestOp>) -> Result<(), RestoreError> {
        let request = TxnRequest {
            compare: vec![created_at(self.space.key(front::RESTORING_KEY), self.begun)],
            success: operations,
            failure: vec![get(self.space.key(front::BASE_KEY))],
        };
        let answer = txn(&self.endpoints, request).await?;
        // Where the answer of the last transaction was lost, the base is there already.
        if answer.succeeded || found(&answer, 0).is_some() {
            return Ok(());
        }
        let cause = "somebody else has ended or removed this restore meanwhile";
        Err(Error::Unavailable(cause.to_owned()).into())
    }
}

/// Every transaction of a restore writes the same again.
async fn txn(endpoints: &Endpoints, request: TxnRequest) -> Result<TxnResponse, Error> {
    let send = |line: Line| {
        let request = line.request(request.clone());
        async move { line.kv().txn(request).await }
    };
    endpoints
        .call(Repeat::Harmless, send)
        .await
        .map_err(Fault::of_commit)
}
