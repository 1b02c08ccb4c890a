//! Transactions: conditions on etcd's create and mod revisions, and on the store still being the one
//! that was opened.

use bytes::Bytes;
use pinion_etcd_api::compare::{CompareResult, CompareTarget, TargetUnion};
use pinion_etcd_api::request_op::Request;
use pinion_etcd_api::response_op::Response;
use pinion_etcd_api::{
    Compare, DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RequestOp, TxnRequest,
    TxnResponse,
};

use super::endpoints::{Line, Repeat};
use super::fault::Fault;
use super::frame;
use super::space::Space;
use super::{EtcdStore, REPLACED};
use crate::store::{Commit, Condition, Error, Key, Operation, Transaction, front};

impl EtcdStore {
    /// Commits a transaction that was checked.
    pub(super) async fn transact(&self, transaction: &Transaction) -> Result<Commit, Error> {
        let Some(mut compare) = self.compare(&transaction.conditions).await? else {
            return Ok(Commit::Conflict);
        };
        compare.push(self.is_same_store());
        let request = TxnRequest {
            compare,
            success: transaction
                .operations
                .iter()
                .map(|operation| operate(&self.space, operation))
                .collect(),
            failure: vec![get(self.space.key(front::ID_KEY))],
        };
        let answer = self
            .txn(Repeat::Never, request)
            .await
            .map_err(Fault::of_commit)?;
        if answer.succeeded {
            let revision = answer.header.unwrap_or_default().revision;
            return Ok(Commit::Done(self.space.revision(revision)));
        }
        let id = found(&answer, 0).map(|found| found.create_revision);
        if id != Some(self.created) {
            self.fail(REPLACED);
            return Err(Error::Unavailable(REPLACED.to_owned()));
        }
        Ok(Commit::Conflict)
    }

    /// The conditions as etcd has them; nothing if one cannot hold.
    async fn compare(&self, conditions: &[Condition]) -> Result<Option<Vec<Compare>>, Error> {
        let mut compares = Vec::with_capacity(conditions.len() + 1);
        for condition in conditions {
            let compare = match condition {
                Condition::Modified(key, revision) | Condition::Created(key, revision)
                    if *revision <= self.space.base =>
                {
                    self.compare_restored(key, condition).await?
                }
                _ => compare(&self.space, condition),
            };
            let Some(compare) = compare else {
                return Ok(None);
            };
            compares.push(compare);
        }
        Ok(Some(compares))
    }

    /// The condition on an entry of a backup: it holds if the entry has that revision of its former life, and is
    /// not put until the transaction happens.
    async fn compare_restored(
        &self,
        key: &Key,
        condition: &Condition,
    ) -> Result<Option<Compare>, Error> {
        let range = RangeRequest {
            key: self.space.key(key.as_str()),
            ..RangeRequest::default()
        };
        let answer = self.range(range).await.map_err(Fault::of_read)?;
        let Some(found) = answer.kvs.first() else {
            return Ok(None);
        };
        let entry = self.space.entry(found)?;
        let holds = match condition {
            Condition::Absent(_) => false,
            Condition::Modified(_, revision) => entry.modified == *revision,
            Condition::Created(_, revision) => entry.created == *revision,
        };
        Ok(holds.then(|| modified_at(found.key.clone(), found.mod_revision)))
    }

    /// That the store was not replaced by another one since it was opened.
    pub(super) fn is_same_store(&self) -> Compare {
        created_at(self.space.key(front::ID_KEY), self.created)
    }

    /// A transaction, as etcd answers it.
    pub(super) async fn txn(
        &self,
        repeat: Repeat,
        request: TxnRequest,
    ) -> Result<TxnResponse, Fault> {
        let send = |line: Line| {
            let request = line.request(request.clone());
            async move { line.kv().txn(request).await }
        };
        self.endpoints.call(repeat, send).await
    }
}

/// The condition as etcd has it; nothing if it cannot hold, since its revision is from before the base.
fn compare(space: &Space, condition: &Condition) -> Option<Compare> {
    let key = space.key(condition.key().as_str());
    // etcd's 0 means that the key is absent, which no revision of an entry does.
    let native = |revision| space.native(revision).filter(|native| *native > 0);
    Some(match condition {
        Condition::Absent(_) => created_at(key, 0),
        Condition::Created(_, revision) => created_at(key, native(*revision)?),
        Condition::Modified(_, revision) => modified_at(key, native(*revision)?),
    })
}

/// That the key was last put at this revision of etcd's.
fn modified_at(key: Vec<u8>, native: i64) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key,
        target_union: Some(TargetUnion::ModRevision(native)),
        ..Compare::default()
    }
}

/// That the key came into being at this revision of etcd's; 0: that it is absent.
pub(super) fn created_at(key: Vec<u8>, native: i64) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Create.into(),
        key,
        target_union: Some(TargetUnion::CreateRevision(native)),
        ..Compare::default()
    }
}

fn operate(space: &Space, operation: &Operation) -> RequestOp {
    match operation {
        Operation::Put(key, value) => put(space, key.as_str(), value, 0),
        Operation::Delete(key) => delete(space, key.as_str()),
    }
}

/// Removes a key.
pub(super) fn delete(space: &Space, key: &str) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestDeleteRange(DeleteRangeRequest {
            key: space.key(key),
            range_end: Vec::new(),
        })),
    }
}

/// Puts a value, under a lease of etcd's unless that is 0.
pub(super) fn put(space: &Space, key: &str, value: &[u8], lease: i64) -> RequestOp {
    put_frame(space.key(key), frame::seal(key, value), lease)
}

/// Puts a frame, under a lease of etcd's unless that is 0.
pub(super) fn put_frame(key: Vec<u8>, value: Bytes, lease: i64) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestPut(PutRequest { key, value, lease })),
    }
}

/// Reads one key of etcd's.
pub(super) fn get(key: Vec<u8>) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestRange(RangeRequest {
            key,
            ..RangeRequest::default()
        })),
    }
}

/// What the read at `place` of a transaction found.
pub(super) fn found(answer: &TxnResponse, place: usize) -> Option<&KeyValue> {
    match &answer.responses.get(place)?.response {
        Some(Response::ResponseRange(range)) => range.kvs.first(),
        _ => None,
    }
}
