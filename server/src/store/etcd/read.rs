//! Entries, pages and exports: always of one revision, and never more at once than a reply may hold.

use pinion_etcd_api::{RangeRequest, RangeResponse};

use super::EtcdStore;
use super::endpoints::Repeat;
use super::fault::Fault;
use crate::store::{Entry, Error, Key, Page, Revision, Sink};

/// The most entries of one reply: with the largest keys and values that is less than the 4 MiB that
/// a reply may have.
const PIECE_ENTRIES_MAX: usize = 200;
/// How often a page begins anew because its revision was compacted while it was read.
const PAGE_TRIES: usize = 3;

/// A piece of the store, as of one revision.
struct Piece {
    entries: Vec<Entry>,
    /// The revision it is of, as etcd counts.
    native: i64,
    more: bool,
}

impl EtcdStore {
    /// The entry of a key.
    pub(super) async fn read(&self, key: &Key) -> Result<Option<Entry>, Error> {
        let range = RangeRequest {
            key: self.space.key(key.as_str()),
            ..RangeRequest::default()
        };
        let answer = self.range(range).await.map_err(Fault::of_read)?;
        answer
            .kvs
            .first()
            .map(|found| self.space.entry(found))
            .transpose()
    }

    /// A page of at most `max` entries, read in pieces at the revision of the first.
    pub(super) async fn read_page(
        &self,
        prefix: &str,
        after: Option<&Key>,
        max: usize,
    ) -> Result<Page, Error> {
        for _ in 1..PAGE_TRIES {
            if let Ok(page) = self.try_page(prefix, after, max).await? {
                return Ok(page);
            }
        }
        self.try_page(prefix, after, max)
            .await?
            .map_err(|Compacted| Fault::Compacted.of_read())
    }

    /// Gives every entry to the sink, piece by piece.
    pub(super) async fn read_all(&self, sink: &mut (dyn Sink + '_)) -> Result<Revision, Error> {
        let mut at = None;
        let mut after = None;
        loop {
            let piece = self
                .piece("", after.as_ref(), PIECE_ENTRIES_MAX, at)
                .await?
                .map_err(|Compacted| Fault::Compacted.of_read())?;
            for entry in &piece.entries {
                sink.entry(entry).map_err(Error::Export)?;
            }
            at = Some(piece.native);
            after = piece.entries.into_iter().last().map(|entry| entry.key);
            if !piece.more {
                return Ok(self.space.revision(piece.native));
            }
        }
    }

    /// A range, as etcd answers it.
    pub(super) async fn range(&self, range: RangeRequest) -> Result<RangeResponse, Fault> {
        let send = |line: super::endpoints::Line| {
            let request = line.request(range.clone());
            async move { line.kv().range(request).await }
        };
        self.endpoints.call(Repeat::Harmless, send).await
    }

    async fn try_page(
        &self,
        prefix: &str,
        after: Option<&Key>,
        max: usize,
    ) -> Result<Result<Page, Compacted>, Error> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut at = None;
        loop {
            let last = entries.last().map(|entry| entry.key.clone());
            let limit = (max - entries.len()).min(PIECE_ENTRIES_MAX);
            let piece = match self
                .piece(prefix, last.as_ref().or(after), limit, at)
                .await?
            {
                Ok(piece) => piece,
                Err(Compacted) => return Ok(Err(Compacted)),
            };
            at = Some(piece.native);
            entries.extend(piece.entries);
            if !piece.more || entries.len() == max {
                return Ok(Ok(Page {
                    entries,
                    revision: self.space.revision(piece.native),
                    more: piece.more,
                }));
            }
        }
    }

    async fn piece(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
        at: Option<i64>,
    ) -> Result<Result<Piece, Compacted>, Error> {
        let key = match after {
            Some(after) if after.as_str() >= prefix => {
                let mut key = self.space.key(after.as_str());
                key.push(0);
                key
            }
            _ => self.space.key(prefix),
        };
        let range_end = self.space.end(prefix);
        if key >= range_end {
            // Nothing lies there, which etcd would be asked for as one key; its revision is asked for alone.
            return self.empty_piece(at).await.map(Ok);
        }
        let range = RangeRequest {
            key,
            range_end,
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
            revision: at.unwrap_or_default(),
        };
        let answer = match self.range(range).await {
            Ok(answer) => answer,
            Err(Fault::Compacted) => return Ok(Err(Compacted)),
            Err(fault) => return Err(fault.of_read()),
        };
        let found = answer.kvs.iter().map(|found| self.space.entry(found));
        Ok(Ok(Piece {
            entries: found.collect::<Result<_, _>>()?,
            native: at.unwrap_or_else(|| answer.header.unwrap_or_default().revision),
            more: answer.more,
        }))
    }

    async fn empty_piece(&self, at: Option<i64>) -> Result<Piece, Error> {
        let native = match at {
            Some(native) => native,
            None => self.native_revision().await.map_err(Fault::of_read)?,
        };
        Ok(Piece {
            entries: Vec::new(),
            native,
            more: false,
        })
    }

    /// The revision that etcd is at.
    pub(super) async fn native_revision(&self) -> Result<i64, Fault> {
        let range = RangeRequest {
            key: self.space.key(crate::store::front::FORMAT_KEY),
            ..RangeRequest::default()
        };
        let answer = self.range(range).await?;
        Ok(answer.header.unwrap_or_default().revision)
    }
}

/// That the revision is no longer kept.
struct Compacted;
