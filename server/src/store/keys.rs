//! Every key there is, and who writes it.
//!
//! | key | record | written by |
//! |---|---|---|
//! | `c/set/<pin set>` | [`PinSetRecord`](super::records::PinSetRecord) | requests of release managers; completion |
//! | `c/base/<pin set>/<chunk>` | [`BaselineChunk`](super::records::BaselineChunk) | the same, in the same transaction |
//! | `c/block/<pin set>/<package>/<version>` | [`BlockRecord`](super::records::BlockRecord) | rollback; lifting |
//! | `c/req/<pin set>/<package>/<version>` | [`RequiresRecord`](super::records::RequiresRecord) | requests that declare it; what indexes say; removed when nothing has the version |
//! | `c/want/<pin set>/<chunk>` | [`WantChunk`](super::records::WantChunk) | imports; followed files; indexes; the candidates loop |
//! | `c/ro/<rollout>` | [`Rollout`](pinion_core::rollout::Rollout) | requests; the promotion loop |
//! | `c/gate/<rollout>/<consumer>` | [`Gate`](pinion_core::gate::Gate) | with `c/ro/`; then CI jobs that take it |
//! | `log/<rollout>/<sequence>` | [`LogEntry`](pinion_core::log::LogEntry) | with `c/ro/`, once, never changed |
//! | `audit/<sequence>` | [`AuditEntry`](pinion_core::audit::AuditEntry) | with the act, once, never changed |
//! | `chain/audit` | [`AuditHead`](pinion_core::audit::AuditHead) | with `audit/` |
//! | `c/end/<rollout>` | [`Ended`](pinion_core::figures::Ended) | with the `c/ro/` that ends it; then the promotion loop |
//! | `c/out/<filing key>` | [`FilingRecord`](super::records::FilingRecord) | with `c/ro/`; then the filing loop |
//! | `c/notice/<notice>` | [`NoticeRecord`](super::records::NoticeRecord) | with the change that it tells of; then the notice loop, which removes it |
//! | `c/head` | how many control transactions there were | every one of them |
//! | `c/server/<process>` | [`ServerRecord`](super::records::ServerRecord) | that server; removed when it stops, or by the one that leads |
//! | `c/ask/<id>` | [`AskRecord`](super::records::AskRecord) | the server that was asked; answered by the one that leads |
//! | `c/standing/<rollout>` | [`StandingRecord`](super::records::StandingRecord) | the server that leads, where others run |
//! | `c/spoken/<forge>` | when the forge last spoke | the server that it spoke to |
//! | `c/env/<environment>` | [`EnvironmentRecord`](super::records::EnvironmentRecord) | its owner |
//! | `c/tok/<SHA-256 of the secret>` | [`TokenRecord`](super::records::TokenRecord) | admins; enrolment |
//! | `name/<token name>` | the token's key | with `c/tok/`, so that names are unique |
//! | `ord/next`, `c/cid/<SHA-256 of pin set and draw key>` | the next ordinal; a draw key's own | enrolment |
//! | `rep/next` | the next process number | process start |
//! | `j/<process>/<sequence>` | [`JournalRecord`](super::records::JournalRecord) | only that process; removed when folded |
//! | `seen/<day>/<process>-<sequence>` | folded report ids | the fold, with the removal of `j/` |
//! | `pool/<rollout>/<epoch>/<chunk>` | members of a pool | the promotion loop, before the epoch opens |
//! | `obs/<rollout>/<epoch>/<chunk>` | cells | the fold |
//! | `ep/<rollout>/<epoch>` | [`Epoch`](pinion_core::rollout::Epoch), as opened | the promotion loop, with `c/ro/`, once |
//! | `det/<rollout>` | [`Detectors`](pinion_core::evidence::Detectors) between reveals | the promotion loop, with `c/ro/` |
//! | `c/left/<rollout>/<ordinal>` | [`LeftRecord`](super::records::LeftRecord) | the one who leaves; removed when the rollout has ended |
//! | `look/<day>/<process>-<sequence>` | what failures looked like | the fold |
//! | `hist/<day>/<chunk>` | bitmaps of own history | the fold |
//! | `meta/...`, `lead/...` | the engine's own | the engine |

use pinion_core::evidence::Ordinal;
use pinion_core::filing::FilingKey;
use pinion_core::name::{
    ConsumerName, EnvironmentId, ForgeName, NoticeId, PackageName, PinSetName, RolloutId, TokenName,
};
use pinion_core::version::Version;
use sha2::{Digest, Sha256};

use super::Key;

/// What every control record is under: what servers keep in memory, and follow as others change it.
pub const CONTROL: &str = "c/";
/// Families of control records that lay at the top before they were put under [`CONTROL`], without their slash.
pub const MOVED: [&str; 14] = [
    "set", "base", "block", "req", "want", "ro", "gate", "out", "notice", "env", "tok", "cid",
    "left", "end",
];

/// Pin sets.
pub const SET: &str = "c/set/";
/// Baselines.
pub const BASE: &str = "c/base/";
/// Blocked versions.
pub const BLOCK: &str = "c/block/";
/// What versions need.
pub const REQUIRES: &str = "c/req/";
/// Versions that wait for their trial.
pub const WANT: &str = "c/want/";
/// Rollouts.
pub const ROLLOUT: &str = "c/ro/";
/// Gates.
pub const GATE: &str = "c/gate/";
/// Filings.
pub const FILING: &str = "c/out/";
/// Notices.
pub const NOTICE: &str = "c/notice/";
/// Environments.
pub const ENVIRONMENT: &str = "c/env/";
/// Tokens.
pub const TOKEN: &str = "c/tok/";
/// Ordinals of draw keys.
pub const DRAW_KEY: &str = "c/cid/";
/// Positions of those who have left.
pub const LEFT: &str = "c/left/";
/// Ends of rollouts.
pub const ENDED: &str = "c/end/";
/// Servers that run.
pub const SERVER: &str = "c/server/";
/// What is asked of rollouts, of the server that leads.
pub const ASK: &str = "c/ask/";
/// How open rollouts fare.
pub const STANDING: &str = "c/standing/";
/// Forges that have spoken to a server.
pub const SPOKEN: &str = "c/spoken/";
/// What was done that is no decision about a rollout.
pub const AUDIT: &str = "audit/";
/// What failures looked like.
pub const LOOK: &str = "look/";
/// Reports that are not folded yet.
pub const JOURNAL: &str = "j/";
/// Ids of folded reports.
pub const SEEN: &str = "seen/";
/// Own history.
pub const HISTORY: &str = "hist/";

/// The number of control transactions: a condition on it is one on everything that was read.
pub fn head() -> Key {
    Key::new("c/head")
}

/// A server.
pub fn server(process: u64) -> Key {
    Key::new(format!("{SERVER}{process:010}"))
}

/// The process of a key that [`server`] made.
pub fn process_of_server(key: &Key) -> Option<u64> {
    key.as_str().strip_prefix(SERVER)?.parse().ok()
}

/// Something that is asked of a rollout.
pub fn ask(id: &str) -> Key {
    Key::new(format!("{ASK}{id}"))
}

/// How an open rollout fares.
pub fn standing(id: &RolloutId) -> Key {
    Key::new(format!("{STANDING}{id}"))
}

/// The rollout of a key that [`standing`] made.
pub fn rollout_of_standing(key: &Key) -> Option<RolloutId> {
    key.as_str().strip_prefix(STANDING)?.parse().ok()
}

/// When a forge last spoke.
pub fn spoken(forge: &ForgeName) -> Key {
    Key::new(format!("{SPOKEN}{forge}"))
}

/// The forge of a key that [`spoken`] made.
pub fn forge_of_spoken(key: &Key) -> Option<ForgeName> {
    key.as_str().strip_prefix(SPOKEN)?.parse().ok()
}

/// The journal records of a process.
pub fn journal_prefix(process: u64) -> String {
    format!("{JOURNAL}{process:010}/")
}

/// The number of a record of its process, of a key that [`journal`] made.
pub fn sequence_of_journal(key: &Key) -> Option<u64> {
    key.as_str().rsplit('/').next()?.parse().ok()
}

/// A pin set.
pub fn pin_set(name: &PinSetName) -> Key {
    Key::new(format!("{SET}{name}"))
}

/// A part of a baseline.
pub fn baseline(name: &PinSetName, chunk: usize) -> Key {
    Key::new(format!("{BASE}{name}/{chunk:04}"))
}

/// A blocked version.
pub fn block(name: &PinSetName, package: &PackageName, version: &Version) -> Key {
    let version = hex::encode(&Sha256::digest(version.as_str())[..8]);
    Key::new(format!("{BLOCK}{name}/{}/{version}", package.key_segment()))
}

/// What a version needs.
pub fn requires(name: &PinSetName, package: &PackageName, version: &Version) -> Key {
    let version = hex::encode(&Sha256::digest(version.as_str())[..8]);
    Key::new(format!(
        "{}{}/{version}",
        requires_prefix(name),
        package.key_segment()
    ))
}

/// What the versions of a pin set need.
pub fn requires_prefix(name: &PinSetName) -> String {
    format!("{REQUIRES}{name}/")
}

/// A part of a queue.
pub fn want(name: &PinSetName, chunk: usize) -> Key {
    Key::new(format!("{}{chunk:04}", want_prefix(name)))
}

/// A queue.
pub fn want_prefix(name: &PinSetName) -> String {
    format!("{WANT}{name}/")
}

/// The pin set of a key that [`requires`] or [`want`] made.
pub fn pin_set_of(key: &Key) -> Option<PinSetName> {
    let text = key.as_str();
    let rest = text
        .strip_prefix(REQUIRES)
        .or_else(|| text.strip_prefix(WANT))?;
    rest.split_once('/')?.0.parse().ok()
}

/// Whether somebody's pins may follow from the record of a key, or whether somebody gets them.
pub fn is_of_pins(key: &Key) -> bool {
    [SET, BASE, REQUIRES, ROLLOUT, ENVIRONMENT, TOKEN]
        .iter()
        .any(|prefix| key.as_str().starts_with(prefix))
}

/// A rollout.
pub fn rollout(id: &RolloutId) -> Key {
    Key::new(format!("{ROLLOUT}{id}"))
}

/// A gate.
pub fn gate(id: &RolloutId, consumer: &ConsumerName) -> Key {
    Key::new(format!("{GATE}{id}/{consumer}"))
}

/// The rollout of a key that [`gate`] made.
pub fn rollout_of_gate(key: &Key) -> Option<RolloutId> {
    let (id, _consumer) = key.as_str().strip_prefix(GATE)?.split_once('/')?;
    id.parse().ok()
}

/// A decision.
pub fn log(id: &RolloutId, sequence: u64) -> Key {
    Key::new(format!("{}{sequence:010}", log_prefix(id)))
}

/// The decisions of a rollout.
pub fn log_prefix(id: &RolloutId) -> String {
    format!("log/{id}/")
}

/// A notice.
pub fn notice(id: &NoticeId) -> Key {
    Key::new(format!("{NOTICE}{id}"))
}

/// The end of a rollout.
pub fn ended(id: &RolloutId) -> Key {
    Key::new(format!("{ENDED}{id}"))
}

/// An entry of the audit log.
pub fn audit(sequence: u64) -> Key {
    Key::new(format!("{AUDIT}{sequence:016}"))
}

/// The number of an entry whose key [`audit`] made.
pub fn sequence_of_audit(key: &Key) -> Option<u64> {
    key.as_str().strip_prefix(AUDIT)?.parse().ok()
}

/// The end of the audit log.
pub fn audit_head() -> Key {
    Key::new("chain/audit")
}

/// The number of a decision whose key [`log`] made.
pub fn sequence_of_log(key: &Key) -> Option<u64> {
    key.as_str().rsplit('/').next()?.parse().ok()
}

/// A filing.
pub fn filing(key: &FilingKey) -> Key {
    Key::new(format!("{FILING}{key}"))
}

/// An environment.
pub fn environment(id: &EnvironmentId) -> Key {
    Key::new(format!("{ENVIRONMENT}{id}"))
}

/// A token, by its secret.
pub fn token(secret: &str) -> Key {
    Key::new(format!("{TOKEN}{}", hex::encode(Sha256::digest(secret))))
}

/// The claim on a token's name.
pub fn token_name(name: &TokenName) -> Key {
    Key::new(format!("name/{name}"))
}

/// The next ordinal that nobody has.
pub fn next_ordinal() -> Key {
    Key::new("ord/next")
}

/// The ordinal of a draw key of a pin set: what shares a key in two of them is two.
pub fn draw_key(pin_set: &PinSetName, draw_key: &str) -> Key {
    let digest = Sha256::new()
        .chain_update(pin_set.as_str())
        .chain_update([0])
        .chain_update(draw_key)
        .finalize();
    Key::new(format!("{DRAW_KEY}{}", hex::encode(digest)))
}

/// The next number of a process.
pub fn next_process() -> Key {
    Key::new("rep/next")
}

/// A journal record of this process.
pub fn journal(process: u64, sequence: u64) -> Key {
    Key::new(format!("{JOURNAL}{process:010}/{sequence:016}"))
}

/// Folded report ids of a day.
pub fn seen(day: i64, process: u64, sequence: u64) -> Key {
    Key::new(format!("{SEEN}{day:08}/{process:010}-{sequence:016}"))
}

/// The day of a key that [`seen`] or [`look`] made.
pub fn day_of(key: &Key) -> Option<i64> {
    let (_family, rest) = key.as_str().split_once('/')?;
    rest.split('/').next()?.parse().ok()
}

/// What failures looked like, noted on a day.
pub fn look(day: i64, process: u64, sequence: u64) -> Key {
    Key::new(format!("{LOOK}{day:08}/{process:010}-{sequence:016}"))
}

/// An epoch as it was opened.
pub fn epoch(id: &RolloutId, epoch: u32) -> Key {
    Key::new(format!("{}{epoch:05}", epoch_prefix(id)))
}

/// The epochs of a rollout.
pub fn epoch_prefix(id: &RolloutId) -> String {
    format!("ep/{id}/")
}

/// The detectors of a rollout.
pub fn detectors(id: &RolloutId) -> Key {
    Key::new(format!("det/{id}"))
}

/// The position of one who has left.
pub fn left(id: &RolloutId, ordinal: Ordinal) -> Key {
    Key::new(format!("{LEFT}{id}/{:010}", ordinal.0))
}

/// The rollout and the draw key of a key that [`left`] made.
pub fn place_of_left(key: &Key) -> Option<(RolloutId, Ordinal)> {
    let (id, ordinal) = key.as_str().strip_prefix(LEFT)?.split_once('/')?;
    Some((id.parse().ok()?, Ordinal(ordinal.parse().ok()?)))
}

/// A part of a pool.
pub fn pool(id: &RolloutId, epoch: u32, chunk: usize) -> Key {
    Key::new(format!("{}{chunk:06}", pool_prefix(id, epoch)))
}

/// A pool.
pub fn pool_prefix(id: &RolloutId, epoch: u32) -> String {
    format!("pool/{id}/{epoch:05}/")
}

/// A part of an epoch's cells.
pub fn cells(id: &RolloutId, epoch: u32, chunk: u32) -> Key {
    Key::new(format!("{}{chunk:08}", cells_prefix(id, epoch)))
}

/// The cells of an epoch.
pub fn cells_prefix(id: &RolloutId, epoch: u32) -> String {
    format!("obs/{id}/{epoch:05}/")
}

/// Own history of a day.
pub fn history(day: i64, chunk: u32) -> Key {
    Key::new(format!("{HISTORY}{day:08}/{chunk:08}"))
}

/// The day and the chunk of a key that [`history`] made.
pub fn place_of_history(key: &Key) -> Option<(i64, u32)> {
    let (day, chunk) = key.as_str().strip_prefix(HISTORY)?.split_once('/')?;
    Some((day.parse().ok()?, chunk.parse().ok()?))
}

/// The chunk that holds an ordinal, and its place there.
pub const fn chunk_of(ordinal: Ordinal, size: u32) -> (u32, u32) {
    (ordinal.0 / size, ordinal.0 % size)
}
