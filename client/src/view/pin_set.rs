//! Pin sets, their pins and blocks, and why a version is there.

use pinion_client::v1;

use crate::table::Table;
use crate::terminal::clean;
use crate::times::show_time;

use super::{change, facts, next_share, percent, policy};

/// A pin set as a page.
pub(crate) fn pin_set(set: &v1::PinSet) -> String {
    let source = set.source.as_ref();
    let source = source.map(source_in_words);
    let following = set.following.as_ref().map(following);
    let text = facts(&[
        ("pin set", set.name.clone()),
        ("ecosystem", ecosystem(set.ecosystem())),
        ("revision", set.revision.to_string()),
        ("pins", set.pin_count.to_string()),
        (
            "lines",
            match set.verbatim_lines.len() {
                0 => String::new(),
                count => format!("{count} that are no pins, served as they stand"),
            },
        ),
        (
            "environments",
            format!(
                "{}, of which {} report",
                set.environment_count, set.reporting_environment_count
            ),
        ),
        ("rollouts", format!("{} open", set.open_rollout_count)),
        (
            "source",
            source.unwrap_or_else(|| "none: changes are filed nowhere".to_owned()),
        ),
        ("following", following.unwrap_or_default()),
        (
            "tracking",
            set.tracking.as_ref().map(tracking).unwrap_or_default(),
        ),
        (
            "YANKED",
            set.tracking
                .as_ref()
                .map(|tracking| tracking.yanked_pins.join("; "))
                .unwrap_or_default(),
        ),
        (
            "FROZEN",
            set.freeze.as_ref().map(frozen).unwrap_or_default(),
        ),
        ("created", show_time(set.create_time.as_ref())),
        ("changed", show_time(set.update_time.as_ref())),
    ]);
    match &set.policy {
        Some(rules) => format!("{text}\npolicy\n{}", policy(rules)),
        None => text,
    }
}

/// A freeze, in words.
pub(super) fn frozen(freeze: &v1::PinSetFreeze) -> String {
    let until = match &freeze.end_time {
        Some(end) => format!("until {}", show_time(Some(end))),
        None => "until it is unfrozen".to_owned(),
    };
    format!(
        "{until}, by {} since {}: {}; no share is raised",
        freeze.actor,
        show_time(freeze.start_time.as_ref()),
        freeze.reason
    )
}

fn source_in_words(source: &v1::Source) -> String {
    let mut words = format!(
        "{}, branch {}, {}",
        source.forge, source.branch, source.path
    );
    if !source.exclusions_path.is_empty() {
        words.push_str(&format!("; exclusions in {}", source.exclusions_path));
    }
    if source.follow {
        words.push_str("; followed");
    }
    words
}

/// How following the file goes: what was read last, and what stands in the way.
fn following(following: &v1::Following) -> String {
    let read = match following.commit.as_str() {
        "" => "not read yet".to_owned(),
        commit => format!(
            "commit {}, read {}",
            commit.get(..12).unwrap_or(commit),
            show_time(following.read_time.as_ref())
        ),
    };
    match following.problem.as_str() {
        "" => read,
        problem => format!("{read}; {problem}"),
    }
}

/// How watching the index goes: what it has answered for, and what stands in the way.
fn tracking(tracking: &v1::Tracking) -> String {
    let mut parts = vec![format!(
        "the index has answered for {} of {} packages",
        tracking.answered_count, tracking.package_count
    )];
    if tracking.unread_count > 0 {
        parts.push(format!(
            "nothing is tried until it is read what {} pins need",
            tracking.unread_count
        ));
    }
    if !tracking.absent_packages.is_empty() {
        parts.push(format!(
            "it does not have {}",
            tracking.absent_packages.join(", ")
        ));
    }
    if !tracking.problem.is_empty() {
        parts.push(tracking.problem.clone());
    }
    parts.join("; ")
}

/// Pin sets as a table.
pub(crate) fn pin_sets(sets: &[v1::PinSet]) -> Table {
    let mut table = Table::new([
        "NAME",
        "ECOSYSTEM",
        "REVISION",
        "PINS",
        "ENVIRONMENTS",
        "REPORTING",
        "OPEN ROLLOUTS",
        "FROZEN",
    ]);
    for set in sets {
        table.row([
            set.name.clone(),
            ecosystem(set.ecosystem()),
            set.revision.to_string(),
            set.pin_count.to_string(),
            set.environment_count.to_string(),
            set.reporting_environment_count.to_string(),
            set.open_rollout_count.to_string(),
            match set.freeze.as_ref().map(|freeze| &freeze.end_time) {
                None => String::new(),
                Some(None) => "yes".to_owned(),
                Some(end) => format!("until {}", show_time(end.as_ref())),
            },
        ]);
    }
    table
}

/// A baseline as a table.
pub(crate) fn pins(pins: &[v1::Pin]) -> Table {
    let mut table = Table::new(["PACKAGE", "VERSION", "MARKER"]);
    for pin in pins {
        table.row([pin.package.clone(), pin.version.clone(), pin.marker.clone()]);
    }
    table
}

/// What an import did.
pub(crate) fn imported(response: &v1::ImportPinsResponse, was_check: bool) -> String {
    let set = response.pin_set.clone().unwrap_or_default();
    let mut lines = vec![match was_check {
        true => format!("checked only: {} pins would differ", response.change_count),
        false => format!(
            "{} pins differ; `{}` has {} pins at revision {}",
            response.change_count, set.name, set.pin_count, set.revision
        ),
    }];
    lines.extend(
        response
            .changes
            .iter()
            .map(|one| format!("  {}", change(one))),
    );
    let listed = u32::try_from(response.changes.len()).unwrap_or(u32::MAX);
    if response.change_count > listed {
        lines.push(format!("  and {} more", response.change_count - listed));
    }
    let at_once = response.at_once_count;
    if at_once > 0 && at_once < response.change_count {
        lines.push(match was_check {
            true => format!("{at_once} of them would be taken at once"),
            false => format!("{at_once} of them taken at once"),
        });
    }
    for rollout in &response.started_rollouts {
        lines.push(format!("rollout {rollout} has started"));
    }
    lines.extend(response.waiting.iter().map(waiting));
    lines.extend(
        response
            .refused
            .iter()
            .map(|words| format!("not tried: {words}")),
    );
    for line in &response.unkept_lines {
        lines.push(format!(
            "line {} is no pin ({}): {}",
            line.line, line.reason, line.text
        ));
    }
    for rollout in &response.superseded_rollouts {
        lines.push(format!("rollout {rollout} ended as superseded"));
    }
    lines.iter().map(|line| clean(line) + "\n").collect()
}

fn waiting(wanted: &v1::Wanted) -> String {
    let changes = changes(wanted);
    match wanted.reason.as_str() {
        "" => format!("{changes} would start"),
        reason => format!("{changes} waits: {reason}"),
    }
}

fn changes(wanted: &v1::Wanted) -> String {
    let changes: Vec<String> = wanted.changes.iter().map(change).collect();
    changes.join(", ")
}

/// What waits as a table.
pub(crate) fn wanted(wanted: &[v1::Wanted]) -> Table {
    let mut table = Table::new(["CHANGES", "SINCE", "ASKED BY", "IN", "WAITS BECAUSE"]);
    for one in wanted {
        let reason = match one.reason.as_str() {
            "" => "it is about to start",
            reason => reason,
        };
        table.row([
            changes(one),
            show_time(one.wait_start_time.as_ref()),
            one.asked_by.clone(),
            one.asked_in.clone(),
            reason.to_owned(),
        ]);
    }
    table
}

/// Blocks as a table.
pub(crate) fn blocks(blocks: &[v1::Block]) -> Table {
    let mut table = Table::new(["PACKAGE", "VERSION", "SINCE", "ROLLOUT", "REASON", "LIFT"]);
    for block in blocks {
        table.row([
            block.package.clone(),
            block.version.clone(),
            show_time(block.create_time.as_ref()),
            block.rollout.clone(),
            block.reason.clone(),
            votes(block),
        ]);
    }
    table
}

/// Who has asked for a block to be lifted, and how many more have to; empty where nobody has.
fn votes(block: &v1::Block) -> String {
    let names: Vec<&str> = block
        .lift_votes
        .iter()
        .map(|vote| vote.actor.as_str())
        .collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(
            "{} asked, {} more must",
            names.join(", "),
            block.lift_votes_missing
        ),
    }
}

/// What became of the wish to lift a block.
pub(crate) fn lifted(response: &v1::LiftBlockResponse) -> String {
    let block = response.block.clone().unwrap_or_default();
    let (package, version) = (&block.package, &block.version);
    match response.lifted {
        true => format!("{package} {version} may be tried again\n"),
        false => {
            clean(&format!(
                "{package} {version} stays blocked: {}",
                votes(&block)
            )) + "\n"
        }
    }
}

/// Why an environment has a version.
pub(crate) fn explanation(package: &str, response: &v1::ExplainPinsResponse) -> String {
    let mut lines: Vec<String> = Vec::new();
    if response.pins.is_empty() {
        lines.push(format!("{package} is not pinned"));
    }
    for pin in &response.pins {
        let marker = match pin.marker.as_str() {
            "" => String::new(),
            marker => format!(" where {marker}"),
        };
        lines.push(format!("{} {}{marker}", pin.package, pin.version));
    }
    lines.extend(
        response
            .sentences
            .iter()
            .map(|sentence| format!("  {sentence}")),
    );
    lines.extend(response.explanations.iter().flat_map(trial));
    for block in &response.blocks {
        lines.push(format!(
            "{} {} is blocked: {}",
            block.package, block.version, block.reason
        ));
    }
    lines.iter().map(|line| clean(line) + "\n").collect()
}

fn trial(explanation: &v1::Explanation) -> Vec<String> {
    let changes: Vec<_> = explanation.changes.iter().map(change).collect();
    let exposed = match explanation.exposed {
        true => "this environment has it",
        false => "this environment does not have it",
    };
    let mut lines = vec![
        format!("rollout {}: {}", explanation.rollout, changes.join(", ")),
        match explanation.shadow {
            true => format!(
                "  {} in shadow, at {}; it is only played, nobody has it",
                explanation.state,
                percent(explanation.share)
            ),
            false => format!(
                "  {}, at {}; {exposed}",
                explanation.state,
                percent(explanation.share)
            ),
        },
    ];
    if explanation.next_share > 0.0 {
        let next = next_share(explanation.next_share, explanation.next_share_time.as_ref());
        lines.push(format!("  next: {next}"));
    }
    if let Some(draw) = explanation.draw {
        lines.push(format!("  its draw was {draw:.6}"));
    }
    lines
}

pub(super) fn ecosystem(ecosystem: v1::Ecosystem) -> String {
    ecosystem
        .as_str_name()
        .trim_start_matches("ECOSYSTEM_")
        .to_lowercase()
}
