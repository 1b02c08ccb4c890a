//! Opening a store in etcd: everything that must be true before the first transaction.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use pinion_etcd_api::{StatusRequest, StatusResponse, TxnRequest, TxnResponse};
use semver::Version;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::endpoints::{Endpoints, Line, Repeat};
use super::fault::Fault;
use super::frame::FORMAT;
use super::space::Space;
use super::transact::{created_at, found, get, put};
use crate::store::{Error, Revision, front};

/// The oldest etcd with everything that is used.
const VERSION_MIN: Version = Version::new(3, 4, 0);
/// These lose and corrupt data after a crash (etcd's issue 13766).
const CORRUPTING: [Version; 2] = [Version::new(3, 5, 0), Version::new(3, 5, 2)];
/// The first whose watches lose nothing: before it a delete can be missed after a compaction (etcd's
/// issues 18089 and 19179).
const WATCHES_WHOLE_MIN: Version = Version::new(3, 5, 18);
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How long the members may take to be there, in timeouts.
const PATIENCE_TIMEOUTS: u32 = 3;

/// What is known of etcd's members.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Whether a watch can miss a delete.
    pub(super) can_miss_deletes: bool,
}

/// The identity of a store.
#[derive(Debug)]
pub(super) struct Identity {
    /// When its id came into being, as etcd counts.
    pub(super) created: i64,
    /// Its id.
    pub(super) id: String,
}

/// Asks all members how they are: at least one must be well, and none may be of another cluster or a
/// version that corrupts.
pub(super) async fn check_members(endpoints: &Endpoints) -> Result<Health, Error> {
    let deadline = Instant::now() + endpoints.timeout() * PATIENCE_TIMEOUTS;
    loop {
        let answers = ask_members(endpoints).await;
        match judge(&answers) {
            Err(Judgement::NobodyThere(_)) if Instant::now() < deadline => sleep(RETRY_PAUSE).await,
            Err(Judgement::NobodyThere(cause) | Judgement::Unusable(cause)) => {
                return Err(Error::Unavailable(cause));
            }
            Ok(health) => return Ok(health),
        }
    }
}

type Answer = (String, Result<StatusResponse, Fault>);

enum Judgement {
    /// Later it may be otherwise.
    NobodyThere(String),
    /// Somebody must do something.
    Unusable(String),
}

async fn ask_members(endpoints: &Endpoints) -> Vec<Answer> {
    let ask = |line: Line| {
        let mut request = line.request(StatusRequest {});
        // A member without a leader says so itself, with its version.
        request.metadata_mut().remove("hasleader");
        async move { line.maintenance().status(request).await }
    };
    let asked = endpoints
        .urls()
        .map(|(place, url)| async move { (url.to_owned(), endpoints.call_at(place, ask).await) });
    join_all(asked).await
}

fn judge(answers: &[Answer]) -> Result<Health, Judgement> {
    let mut health = Health::default();
    let mut cluster = None;
    let mut troubles = Vec::new();
    let mut has_leader = false;
    for (url, answer) in answers {
        let status = match answer {
            Ok(status) => status,
            Err(Fault::Untaken(cause) | Fault::Lost(cause)) => {
                health.can_miss_deletes = true;
                troubles.push(cause.clone());
                continue;
            }
            Err(fault) => {
                let cause = fault.clone().of_read();
                return Err(Judgement::Unusable(format!("`{url}`: {cause}")));
            }
        };
        health.can_miss_deletes |= check_version(url, &status.version)?;
        let id = status.header.unwrap_or_default().cluster_id;
        let (first, first_url) = *cluster.get_or_insert((id, url));
        if first != id {
            return Err(Judgement::Unusable(format!(
                "`{first_url}` and `{url}` are members of two clusters of etcd ({first:x} and {id:x}): \
                 name the members of one"
            )));
        }
        if status.errors.iter().any(|error| error.contains("NOSPACE")) {
            return Err(Judgement::Unusable(
                Fault::Full
                    .of_read()
                    .to_string()
                    .replacen("the store is unavailable: ", "", 1),
            ));
        }
        if status.errors.iter().any(|error| error.contains("CORRUPT")) {
            return Err(Judgement::Unusable(format!(
                "`{url}` has found etcd's data to be corrupt: repair etcd, or restore the store from a backup"
            )));
        }
        if status.leader == 0 {
            troubles.push(format!("`{url}` has no leader"));
        }
        has_leader |= status.leader != 0;
    }
    if has_leader {
        return Ok(health);
    }
    Err(Judgement::NobodyThere(format!(
        "no member of etcd is ready: {}",
        troubles.join("; ")
    )))
}

/// Whether watches of this version can miss a delete; or why the version cannot be used.
fn check_version(url: &str, version: &str) -> Result<bool, Judgement> {
    let unusable = |cause: String| Judgement::Unusable(format!("`{url}` {cause}"));
    let parsed = Version::parse(version).map_err(|_| {
        unusable(format!(
            "has the version `{version}`, which is no version of etcd"
        ))
    })?;
    if parsed < VERSION_MIN {
        return Err(unusable(format!(
            "is etcd {version}, at least {VERSION_MIN} is needed: use the newest 3.6"
        )));
    }
    let [first, last] = &CORRUPTING;
    if (first..=last).contains(&&parsed) {
        return Err(unusable(format!(
            "is etcd {version}, which loses and corrupts data when it crashes: use the newest 3.6, at least {WATCHES_WHOLE_MIN}"
        )));
    }
    Ok(parsed < WATCHES_WHOLE_MIN)
}

/// The identity of the store under the prefix, which is made where nothing is; of two servers that make it, one does.
///
/// `noted` is the id of the store that must be there.
pub(super) async fn identify(
    endpoints: &Endpoints,
    space: &mut Space,
    noted: Option<&str>,
) -> Result<Identity, Error> {
    let keys = [
        front::FORMAT_KEY,
        front::ID_KEY,
        front::BASE_KEY,
        front::RESTORING_KEY,
    ];
    let keys = keys.map(|key| get(space.key(key)));
    // Over the whole prefix: holds only where there is no key at all.
    let mut is_empty = created_at(space.key(""), 0);
    is_empty.range_end = space.end("");
    let id = Uuid::new_v4().to_string();
    let make = vec![
        put(space, front::FORMAT_KEY, FORMAT.to_string().as_bytes(), 0),
        put(space, front::ID_KEY, id.as_bytes(), 0),
    ];
    let request = TxnRequest {
        compare: vec![is_empty],
        success: if noted.is_none() { make } else { Vec::new() },
        failure: keys.into(),
    };
    let send = |line: Line| {
        let request = line.request(request.clone());
        async move { line.kv().txn(request).await }
    };
    // Made twice it is what was made once, found.
    let answer = endpoints
        .call(Repeat::Harmless, send)
        .await
        .map_err(Fault::of_read)?;
    match noted {
        Some(noted) if answer.succeeded => Err(missing(noted)),
        _ if answer.succeeded => Ok(Identity {
            created: answer.header.unwrap_or_default().revision,
            id,
        }),
        _ => check_identity(space, &answer, noted),
    }
}

/// The id that is noted in the file, if any.
pub(super) fn read_note(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(id) => Ok(Some(id.trim().to_owned())),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(unusable_note(path, &cause)),
    }
}

/// Notes the id in the file.
pub(super) fn write_note(path: &Path, id: &str) -> Result<(), Error> {
    std::fs::write(path, format!("{id}\n")).map_err(|cause| unusable_note(path, &cause))
}

fn unusable_note(path: &Path, cause: &std::io::Error) -> Error {
    Error::Unavailable(format!("`{}` cannot be used: {cause}", path.display()))
}

fn missing(noted: &str) -> Error {
    Error::Unavailable(format!(
        "etcd has no store under the prefix, but this server has worked with `{noted}`: look at `endpoints` and \
         `prefix`, restore from a backup, or remove `etcd-store-id` from the data directory to begin with nothing"
    ))
}

fn check_identity(
    space: &mut Space,
    answer: &TxnResponse,
    noted: Option<&str>,
) -> Result<Identity, Error> {
    if found(answer, 3).is_some() {
        return Err(Error::Unavailable(
            "a restore was begun under the prefix and has not ended: run it again, with the same backup".to_owned(),
        ));
    }
    let (Some(format), Some(id)) = (found(answer, 0), found(answer, 1)) else {
        return Err(Error::Unavailable(
            "etcd has keys under the prefix, but no store: choose another `prefix`, or remove what is there"
                .to_owned(),
        ));
    };
    check_format(&space.entry(format)?.value)?;
    if let Some(base) = found(answer, 2) {
        space.base = parse_base(&space.entry(base)?.value)?;
    }
    let value = space.entry(id)?.value;
    let found = String::from_utf8_lossy(&value).into_owned();
    if let Some(noted) = noted.filter(|noted| *noted != found) {
        return Err(Error::Unavailable(format!(
            "etcd has the store `{found}` under the prefix, but this server has worked with `{noted}`: look at \
             `endpoints` and `prefix`, or remove `etcd-store-id` from the data directory to use this one"
        )));
    }
    Ok(Identity {
        created: id.create_revision,
        id: found,
    })
}

fn parse_base(value: &[u8]) -> Result<Revision, Error> {
    let text = std::str::from_utf8(value).ok();
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::Damaged {
            key: front::BASE_KEY.to_owned(),
            cause: "it is no revision".to_owned(),
        })
}

fn check_format(format: &[u8]) -> Result<(), Error> {
    if format == FORMAT.to_string().as_bytes() {
        return Ok(());
    }
    let format = String::from_utf8_lossy(format);
    Err(Error::Unavailable(format!(
        "the store has the format `{}`, this program reads `{FORMAT}`: use a newer program",
        format.escape_default()
    )))
}

#[cfg(test)]
mod tests {
    use pinion_etcd_api::ResponseHeader;

    use super::*;

    fn member(version: &str, cluster_id: u64) -> StatusResponse {
        StatusResponse {
            header: Some(ResponseHeader {
                cluster_id,
                ..ResponseHeader::default()
            }),
            version: version.to_owned(),
            leader: 1,
            errors: Vec::new(),
        }
    }

    fn judged(members: impl IntoIterator<Item = StatusResponse>) -> Result<bool, String> {
        let named = |(place, status)| (format!("http://{place}"), Ok(status));
        let answers: Vec<_> = members.into_iter().enumerate().map(named).collect();
        match judge(&answers) {
            Ok(health) => Ok(health.can_miss_deletes),
            Err(Judgement::NobodyThere(cause) | Judgement::Unusable(cause)) => Err(cause),
        }
    }

    #[test]
    fn versions_that_are_too_old_or_corrupt_are_refused_by_name() {
        for good in ["3.5.18", "3.6.1", "4.0.0"] {
            assert_eq!(judged([member(good, 1)]), Ok(false), "{good}");
        }
        for misses in ["3.4.0", "3.4.23", "3.5.3", "3.5.17"] {
            assert_eq!(judged([member(misses, 1)]), Ok(true), "{misses}");
        }
        for (bad, words) in [
            ("3.3.27", "at least 3.4.0 is needed"),
            ("3.5.0", "corrupts data"),
            ("3.5.2", "corrupts data"),
            ("one", "no version of etcd"),
        ] {
            let refused = judged([member("3.6.1", 1), member(bad, 1)]).expect_err("refused");
            assert!(
                refused.contains(words) && refused.contains("http://1"),
                "{refused}"
            );
        }
    }

    #[test]
    fn members_of_two_clusters_are_refused() {
        let refused = judged([member("3.6.1", 1), member("3.6.1", 2)]).expect_err("refused");
        assert!(refused.contains("two clusters"), "{refused}");
    }

    #[test]
    fn a_full_or_leaderless_etcd_is_refused_with_what_to_do() {
        let full = StatusResponse {
            errors: vec!["memberID:1 alarm:NOSPACE ".to_owned()],
            ..member("3.6.1", 1)
        };
        let refused = judged([full]).expect_err("refused");
        assert!(refused.contains("etcdctl alarm disarm"), "{refused}");
        let lonely = StatusResponse {
            leader: 0,
            ..member("3.6.1", 1)
        };
        let refused = judged([lonely]).expect_err("refused");
        assert!(refused.contains("has no leader"), "{refused}");
    }
}
