//! What was done, and whether it is still what it was.

use pinion_client::v1;
use pinion_client::v1::DecisionCheck;

use crate::terminal::clean;
use crate::times::show_time;

/// An act in one line, with its reason on another where there is one.
pub(crate) fn audit_entry(entry: &v1::AuditEntry) -> String {
    let head = format!(
        "{:>4}  {}  {}  by {}",
        entry.sequence,
        show_time(entry.time.as_ref()),
        entry.summary,
        entry.actor
    );
    match entry.reason.as_str() {
        "" => format!("{}\n", clean(&head)),
        reason => format!("{}\n      {}\n", clean(&head), clean(reason)),
    }
}

/// Whether the acts are what they were.
pub(crate) fn audit_checked(checked: &v1::VerifyAuditEntriesResponse) -> String {
    let mut text = String::new();
    for problem in &checked.problems {
        let line = format!("{:>4}  WRONG  {}", problem.sequence, problem.problem);
        text.push_str(&format!("{}\n", clean(&line)));
    }
    let acts = match checked.entries {
        1 => "1 act".to_owned(),
        n => format!("{n} acts"),
    };
    text.push_str(&match checked.problems.len() {
        0 => format!("{acts}: every one is what was written, in its place\n"),
        n => format!("{acts}, {n} wrong\n"),
    });
    text
}

/// How far a decision could be checked, as it is told.
pub(crate) const fn check(check: DecisionCheck) -> &'static str {
    match check {
        DecisionCheck::Unspecified => "",
        DecisionCheck::Chain => "chain only",
        DecisionCheck::DecidedAgain => "decided again",
        DecisionCheck::CountedAgain => "counted again",
        DecisionCheck::Refolded => "refolded",
    }
}

/// What came of checking a decision, as lines below it.
pub(crate) fn checked(checked: &v1::VerifyDecisionsResponse) -> String {
    let mut lines = vec![match checked.note.as_str() {
        "" => format!("checked: {}", check(checked.check())),
        note => format!("checked: {} ({note})", check(checked.check())),
    }];
    let wrong = checked.problems.iter();
    lines.extend(wrong.map(|problem| format!("WRONG: {problem}")));
    let line = |line: &String| format!("     {}\n", clean(line));
    lines.iter().map(line).collect()
}

/// What came of checking all decisions of a rollout.
pub(crate) fn verified(checked: &[v1::VerifyDecisionsResponse]) -> String {
    let (whole, decisions): (Vec<_>, Vec<_>) =
        checked.iter().partition(|checked| checked.sequence == 0);
    let mut text: String = whole
        .iter()
        .flat_map(|whole| &whole.problems)
        .map(|problem| format!("WRONG: {}\n", clean(problem)))
        .collect();
    let of = |kind: DecisionCheck| {
        let count = decisions
            .iter()
            .filter(|decision| decision.check() == kind)
            .count();
        (count > 0).then(|| format!("{count} {}", check(kind)))
    };
    let kinds = [
        DecisionCheck::Refolded,
        DecisionCheck::DecidedAgain,
        DecisionCheck::CountedAgain,
        DecisionCheck::Chain,
    ];
    let kinds: Vec<String> = kinds.into_iter().filter_map(of).collect();
    let wrong = checked
        .iter()
        .filter(|checked| !checked.problems.is_empty())
        .count();
    let count = match decisions.len() {
        1 => "1 decision".to_owned(),
        n => format!("{n} decisions"),
    };
    let result = match wrong {
        0 => "every one comes out as it was made".to_owned(),
        n => format!("{n} do not come out as they were made"),
    };
    text.push_str(&format!("{count} ({}): {result}\n", kinds.join(", ")));
    text
}
