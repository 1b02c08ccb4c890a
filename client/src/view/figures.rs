//! Delivery figures in a table.

use std::time::Duration;

use pinion_client::v1;
use pinion_core::time::in_words;

use super::percent;
use crate::table::Table;

/// The figures of all, then by pin set or by package.
pub(crate) fn figures(response: &v1::GetFiguresResponse, by_package: bool) -> Table {
    let (head, named) = match by_package {
        true => ("PACKAGE", &response.by_package),
        false => ("PIN SET", &response.by_pin_set),
    };
    let mut table = Table::new([
        head,
        "COMPLETED",
        "A WEEK",
        "LEAD TIME",
        "ROLLED BACK",
        "FAILURES",
        "TO ROLL BACK",
        "TO RESTORE",
    ]);
    for named in named {
        row(&mut table, &named.name, named.figures.as_ref());
    }
    if named.len() > 1 {
        row(&mut table, "all", response.whole.as_ref());
    }
    table
}

fn row(table: &mut Table, name: &str, figures: Option<&v1::Figures>) {
    let Some(figures) = figures else { return };
    table.row([
        name.to_owned(),
        figures.completed.to_string(),
        format!("{:.1}", figures.per_week),
        spread(figures.lead_time.as_ref()),
        figures.rolled_back.to_string(),
        figures
            .failure_share
            .map_or_else(|| "-".to_owned(), percent),
        spread(figures.time_to_roll_back.as_ref()),
        spread(figures.time_to_restore.as_ref()),
    ]);
}

/// `2 d 4 h, 90 % 3 d`: the median, and what nine of ten took at most.
fn spread(spread: Option<&v1::Spread>) -> String {
    let Some(spread) = spread else {
        return "-".to_owned();
    };
    let time = |duration: Option<&prost_types::Duration>| {
        let seconds = duration.map(|duration| u64::try_from(duration.seconds).unwrap_or(0));
        seconds.map(|seconds| in_words(Duration::from_secs(seconds)))
    };
    match (time(spread.median.as_ref()), time(spread.p90.as_ref())) {
        (Some(median), Some(p90)) if median != p90 => format!("{median}, 90 % {p90}"),
        (Some(median), _) => median,
        (None, _) if spread.unknown > 0 => "not known".to_owned(),
        (None, _) => "-".to_owned(),
    }
}

/// What the table leaves out, in sentences.
pub(crate) fn figures_notes(response: &v1::GetFiguresResponse) -> String {
    let Some(whole) = &response.whole else {
        return String::new();
    };
    let mut notes = Vec::new();
    let created = whole.completed.saturating_sub(whole.published);
    if created > 0 {
        notes.push(format!(
            "of {created} of {} completed the time of publication is not known; their lead time begins with the rollout",
            whole.completed
        ));
    }
    let unknown = whole
        .time_to_restore
        .as_ref()
        .map_or(0, |spread| spread.unknown);
    if unknown > 0 {
        notes.push(format!(
            "of {unknown} rolled back it is not known when the last environment was back, or when it failed first"
        ));
    }
    if whole.not_back > 0 {
        notes.push(format!(
            "{} environments that had a version when it was rolled back are not known to be back",
            whole.not_back
        ));
    }
    let stopped = whole.aborted + whole.superseded;
    if stopped > 0 {
        notes.push(format!(
            "{} aborted and {} superseded are no releases",
            whole.aborted, whole.superseded
        ));
    }
    notes.iter().map(|note| format!("{note}\n")).collect()
}
