//! The words of a filed change.

use super::fence::{fence, inline, one_line};
use super::key::{FilingKey, Kind, PackageChange};
use super::template::{Filling, Template};
use super::wrap::{is_trailer, wrap};
use crate::numbers::{percent, ratio, thousands};

/// The largest message, in bytes; what does not fit is counted instead of listed.
pub const MESSAGE_BYTES_MAX: usize = 7 * 1024 + 512;

/// Further trailers, at most, and the longest one, in bytes.
const FURTHER_TRAILERS_MAX: usize = 5;
const FURTHER_TRAILER_BYTES_MAX: usize = 200;
/// Trailers that say what the change is: nobody else may give them.
const OWN_TRAILERS: [&str; 7] = [
    "change-id",
    "filing-id",
    "reverts-pin",
    "reverts-pin-unlisted",
    "sets-pin",
    "sets-pin-unlisted",
    "rollout",
];

const SUBJECT_CHARS_MAX: usize = 72;
const LIST_BYTES_MAX: usize = 1000;
const TRAILERS_BYTES_MAX: usize = 1300;
const REASON_BYTES_MAX: usize = 700;
const FREE_TEXT_BYTES_MAX: usize = 800;
const PACKAGE_BYTES_MAX: usize = 214;
const VERSION_BYTES_MAX: usize = 128;
const WORD_BYTES_MAX: usize = 64;
const LINK_BYTES_MAX: usize = 300;
const ROWS_MAX: usize = 8;

/// The environments of one side of a rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Environments that reported.
    pub reported: u32,
    /// Of those, the ones that failed.
    pub failed: u32,
}

/// Failing environments of one category.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CategoryCount {
    /// Such as `install` or `test`.
    pub category: String,
    /// Failing environments that had the candidate.
    pub exposed_failed: u32,
    /// Failing environments that had the baseline.
    pub control_failed: u32,
}

/// The evidence of harm and what a rollback needs, as natural logarithms of odds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// How strong the evidence is.
    pub log_evidence: f64,
    /// How strong it must be for a rollback.
    pub log_threshold: f64,
}

/// A kind of failure and how many environments showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FingerprintCount {
    /// 16 hexadecimal digits.
    pub fingerprint: String,
    /// Environments that had the candidate and showed it.
    pub environments: u32,
}

/// Everything that the message of a filed change says, as plain values.
#[derive(Clone, Debug, PartialEq)]
pub struct Wording {
    /// What the change does.
    pub kind: Kind,
    /// The packages, at least one; listed by name.
    pub changes: Vec<PackageChange>,
    /// The rollout's id.
    pub rollout: String,
    /// The pin set's name.
    pub pin_set: String,
    /// The share that was reached, 0 to 1; 0: no environment was exposed.
    pub share: f64,
    /// The environments that had the candidate.
    pub exposed: Side,
    /// The environments that had the baseline.
    pub control: Side,
    /// Failures by category, the most frequent first; the first 8 are shown.
    pub categories: Vec<CategoryCount>,
    /// The evidence, where there is any.
    pub evidence: Option<Evidence>,
    /// Why it was decided, as a sentence.
    pub reason: String,
    /// When it was decided, in milliseconds of Unix time.
    pub decided_at_unix_ms: i64,
    /// Who decided: `controller`, or a person's name.
    pub actor: String,
    /// The most frequent kinds of failure first; the first 8 are shown.
    pub fingerprints: Vec<FingerprintCount>,
    /// Where to see more.
    pub link: Option<String>,
    /// What environments wrote; it is fenced.
    pub free_text: Option<String>,
    /// The subject as the project's convention has it; none: ours.
    pub subject: Option<Template>,
    /// Lines that the project wants among the trailers; see [`check_trailers`].
    pub trailers: Vec<String>,
}

/// Why lines cannot stand among the trailers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTrailer {
    /// Too many.
    #[error("{0} lines; at most {FURTHER_TRAILERS_MAX}")]
    TooMany(usize),
    /// Not a trailer.
    #[error(
        "`{0}` is no trailer; write `Token: value` on one line of at most {FURTHER_TRAILER_BYTES_MAX} bytes"
    )]
    NoTrailer(String),
    /// One of those that say what the change is.
    #[error("`{0}` is a trailer that the change itself gives")]
    Own(String),
}

/// Whether the lines can stand among the trailers of a message.
///
/// # Errors
/// What is wrong with the first one that cannot.
pub fn check_trailers(lines: &[String]) -> Result<(), InvalidTrailer> {
    if lines.len() > FURTHER_TRAILERS_MAX {
        return Err(InvalidTrailer::TooMany(lines.len()));
    }
    for line in lines {
        let token = line.split(':').next().unwrap_or_default().trim();
        let is_line = line.len() <= FURTHER_TRAILER_BYTES_MAX && !line.contains(char::is_control);
        if !is_line || !is_trailer(line) {
            return Err(InvalidTrailer::NoTrailer(one_line(line, WORD_BYTES_MAX)));
        }
        if OWN_TRAILERS.contains(&token.to_ascii_lowercase().as_str()) {
            return Err(InvalidTrailer::Own(token.to_owned()));
        }
    }
    Ok(())
}

/// The message of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitMessage {
    /// The first line.
    pub subject: String,
    /// The rest, without a newline at its end; its last paragraph is the trailers.
    pub body: String,
}

/// The message of the change `key`: plain sentences with their numbers, then trailers.
///
/// At most [`MESSAGE_BYTES_MAX`] bytes with the blank line between subject and body. No line begins
/// with `#`, since Gerrit drops such lines, and no line above the last paragraph reads as a trailer.
pub fn message(wording: &Wording, key: &FilingKey) -> CommitMessage {
    let mut changes = wording.changes.clone();
    changes.sort();
    let subject = subject(wording, &changes);
    let paragraphs = [
        package_list(&changes, &subject),
        wrap(&evidence_sentences(wording, &changes)),
        wrap(&reason_sentence(wording)),
        fingerprint_list(&wording.fingerprints),
        wrap(&decision_sentence(wording)),
        link_sentence(wording.link.as_deref()),
        free_text(wording.free_text.as_deref()),
        trailers(wording, &changes, key),
    ];
    CommitMessage {
        subject,
        body: paragraphs
            .into_iter()
            .filter(|p| !p.is_empty())
            .collect::<Vec<_>>()
            .join("\n\n"),
    }
}

fn subject(wording: &Wording, changes: &[PackageChange]) -> String {
    let (scope, verb) = match wording.kind {
        Kind::RollBack => ("revert(deps)", "roll back"),
        Kind::Complete => ("build(deps)", "move"),
    };
    let rollout = one_line(&wording.rollout, WORD_BYTES_MAX);
    if let Some(template) = &wording.subject {
        return from_template(template, wording, changes);
    }
    let [change] = changes else {
        return format!(
            "{scope}: {verb} {} packages of rollout {rollout}",
            changes.len()
        );
    };
    let package = package(change);
    let full = format!("{scope}: {verb} {}", moved(change));
    let fits = |subject: &String| subject.chars().count() <= SUBJECT_CHARS_MAX;
    [
        format!("{scope}: {verb} {package}"),
        format!("{scope}: {verb} 1 package of rollout {rollout}"),
    ]
    .into_iter()
    .fold(
        full,
        |best, shorter| if fits(&best) { best } else { shorter },
    )
}

fn from_template(template: &Template, wording: &Wording, changes: &[PackageChange]) -> String {
    let (package, from, to, what) = match (changes, wording.kind) {
        ([change], _) => (
            package(change),
            version(&change.from_version),
            version(&change.to_version),
            moved(change),
        ),
        (_, kind) => {
            let packages = format!("{} packages", changes.len());
            let what = format!("{packages} of rollout {}", wording.rollout);
            let (from, to) = match kind {
                Kind::RollBack => ("candidate", "baseline"),
                Kind::Complete => ("baseline", "candidate"),
            };
            (packages, from.to_owned(), to.to_owned(), what)
        }
    };
    template.fill(&Filling {
        package: &package,
        from: &from,
        to: &to,
        what: &what,
        wording,
    })
}

fn package(change: &PackageChange) -> String {
    one_line(&change.package, PACKAGE_BYTES_MAX)
}

fn version(version: &str) -> String {
    match version {
        "" => "none".to_owned(),
        version => one_line(version, VERSION_BYTES_MAX),
    }
}

fn moved(change: &PackageChange) -> String {
    format!(
        "{} {} -> {}",
        package(change),
        version(&change.from_version),
        version(&change.to_version)
    )
}

/// One line a package, unless the subject says it all.
fn package_list(changes: &[PackageChange], subject: &str) -> String {
    if let [change] = changes
        && subject.ends_with(&moved(change))
    {
        return String::new();
    }
    let rows = changes.iter().map(|change| format!("- {}", moved(change)));
    within(rows, LIST_BYTES_MAX, |left| format!("- and {left} more"))
}

/// As many rows as fit into `bytes_max`, and how many are left.
fn within(
    rows: impl ExactSizeIterator<Item = String>,
    bytes_max: usize,
    left_row: impl Fn(usize) -> String,
) -> String {
    let mut left = rows.len();
    let mut text = String::new();
    for row in rows {
        if text.len() + row.len() + 1 > bytes_max {
            break;
        }
        text.push_str(&row);
        text.push('\n');
        left -= 1;
    }
    if left > 0 {
        text.push_str(&left_row(left));
    }
    text.trim_end().to_owned()
}

fn evidence_sentences(wording: &Wording, changes: &[PackageChange]) -> String {
    let (candidate, baseline) = sides(wording.kind, changes);
    let mut text = match wording.share > 0.0 {
        true => format!(
            "{}, against {}, at a share of {}.",
            exposed_words(wording.exposed, &candidate),
            control_words(wording.control, &baseline),
            percent(wording.share, 2),
        ),
        false => "No environment was exposed.".to_owned(),
    };
    if !wording.categories.is_empty() {
        let counts = wording.categories.iter().take(ROWS_MAX).map(|count| {
            let category = inline(&count.category, WORD_BYTES_MAX);
            format!(
                "{} against {} in {category}",
                count.exposed_failed, count.control_failed
            )
        });
        text.push_str(" By kind of failure, it was ");
        text.push_str(&counts.collect::<Vec<_>>().join(", "));
        text.push('.');
    }
    if let Some(evidence) = wording
        .evidence
        .filter(|e| !e.log_evidence.is_nan() && !e.log_threshold.is_nan())
    {
        text.push_str(&format!(
            " The evidence of harm is {}; a rollback needs {}.",
            ratio(evidence.log_evidence),
            ratio(evidence.log_threshold),
        ));
    }
    text
}

/// What the candidate and the baseline are called: by version where there is one package.
fn sides(kind: Kind, changes: &[PackageChange]) -> (String, String) {
    let [change] = changes else {
        return ("the candidate".to_owned(), "the baseline".to_owned());
    };
    let (candidate, baseline) = match kind {
        Kind::RollBack => (&change.from_version, &change.to_version),
        Kind::Complete => (&change.to_version, &change.from_version),
    };
    let named = |text: &str, role: &str| match text {
        "" => role.to_owned(),
        text => version(text),
    };
    (
        named(candidate, "the candidate"),
        named(baseline, "the baseline"),
    )
}

fn exposed_words(side: Side, version: &str) -> String {
    let environments = environments(side.reported);
    match side.reported {
        0 => format!("No environment with {version} reported"),
        _ => format!(
            "{} {environments} with {version} failed ({})",
            out_of(side),
            failed_share(side)
        ),
    }
}

fn control_words(side: Side, version: &str) -> String {
    match side.reported {
        0 => format!("none that reported with {version}"),
        _ => format!("{} with {version} ({})", out_of(side), failed_share(side)),
    }
}

fn out_of(side: Side) -> String {
    format!(
        "{} of {}",
        thousands(side.failed.into()),
        thousands(side.reported.into())
    )
}

fn failed_share(side: Side) -> String {
    percent(f64::from(side.failed) / f64::from(side.reported), 1)
}

fn environments(number: u32) -> &'static str {
    if number == 1 {
        "environment"
    } else {
        "environments"
    }
}

fn reason_sentence(wording: &Wording) -> String {
    let reason = inline(&wording.reason, REASON_BYTES_MAX);
    match (wording.kind, reason.is_empty()) {
        (_, true) => String::new(),
        (Kind::RollBack, _) => format!("Reason for revert: {reason}"),
        (Kind::Complete, _) => format!("Reason for the change: {reason}"),
    }
}

fn fingerprint_list(fingerprints: &[FingerprintCount]) -> String {
    if fingerprints.is_empty() {
        return String::new();
    }
    let rows = fingerprints.iter().take(ROWS_MAX).map(|count| {
        let number = thousands(count.environments.into());
        let fingerprint = inline(&count.fingerprint, WORD_BYTES_MAX);
        format!(
            "- {number} {} showed {fingerprint}",
            environments(count.environments)
        )
    });
    format!(
        "Most frequent failures, by fingerprint:\n{}",
        rows.collect::<Vec<_>>().join("\n")
    )
}

fn decision_sentence(wording: &Wording) -> String {
    let at = jiff::Timestamp::from_millisecond(wording.decided_at_unix_ms)
        .map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
        .unwrap_or_else(|_| format!("{} ms", wording.decided_at_unix_ms));
    format!(
        "Decided by {} on {at}, for the pin set {}.",
        inline(&wording.actor, WORD_BYTES_MAX),
        inline(&wording.pin_set, WORD_BYTES_MAX),
    )
}

fn link_sentence(link: Option<&str>) -> String {
    link.map(|link| format!("More at {}", one_line(link, LINK_BYTES_MAX)))
        .unwrap_or_default()
}

fn free_text(text: Option<&str>) -> String {
    match fence(text.unwrap_or_default(), FREE_TEXT_BYTES_MAX) {
        fenced if fenced.is_empty() => fenced,
        fenced => format!("An environment wrote, unverified:\n\n{fenced}"),
    }
}

fn trailers(wording: &Wording, changes: &[PackageChange], key: &FilingKey) -> String {
    let token = match wording.kind {
        Kind::RollBack => "Reverts-Pin",
        Kind::Complete => "Sets-Pin",
    };
    let pins = changes.iter().map(|change| {
        let shown = match wording.kind {
            Kind::RollBack => &change.from_version,
            Kind::Complete => &change.to_version,
        };
        format!("{token}: {} {}", package(change), version(shown))
    });
    let pins = within(pins, TRAILERS_BYTES_MAX, |left| {
        format!("{token}-Unlisted: {left}")
    });
    let rollout = one_line(&wording.rollout, WORD_BYTES_MAX);
    let own = [
        format!("Filing-Id: {key}"),
        pins,
        format!("Rollout: {rollout}"),
    ];
    own.into_iter()
        .chain(wording.trailers.iter().cloned())
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests;
