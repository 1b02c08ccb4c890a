//! Delivery figures in a table.

use std::time::Duration;

use pinion_client::v1;
use pinion_core::figures::{Figures, Spread};

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
    let Some(figures) = figures.map(of_wire) else {
        return;
    };
    table.row([
        name.to_owned(),
        figures.completed.to_string(),
        format!("{:.1}", figures.per_week),
        figures.lead_time.in_words(),
        figures.rolled_back.to_string(),
        figures
            .failure_share
            .map_or_else(|| "-".to_owned(), percent),
        figures.time_to_roll_back.in_words(),
        figures.time_to_restore.in_words(),
    ]);
}

/// What the table leaves out, in sentences.
pub(crate) fn figures_notes(response: &v1::GetFiguresResponse) -> String {
    let notes = response.whole.as_ref().map(|whole| of_wire(whole).notes());
    let notes = notes.unwrap_or_default();
    notes.iter().map(|note| format!("{note}\n")).collect()
}

fn of_wire(figures: &v1::Figures) -> Figures {
    let v1::Figures {
        completed,
        rolled_back,
        aborted,
        superseded,
        per_week,
        lead_time,
        published,
        time_to_roll_back,
        time_to_restore,
        not_back,
        failure_share,
    } = figures;
    Figures {
        completed: *completed,
        rolled_back: *rolled_back,
        aborted: *aborted,
        superseded: *superseded,
        per_week: *per_week,
        lead_time: spread(lead_time.as_ref()),
        published: *published,
        time_to_roll_back: spread(time_to_roll_back.as_ref()),
        time_to_restore: spread(time_to_restore.as_ref()),
        not_back: *not_back,
        failure_share: *failure_share,
    }
}

fn spread(spread: Option<&v1::Spread>) -> Spread {
    let time = |duration: Option<&prost_types::Duration>| {
        let seconds = duration.map(|duration| u64::try_from(duration.seconds).unwrap_or(0));
        seconds.map(Duration::from_secs)
    };
    let Some(spread) = spread else {
        return Spread::default();
    };
    Spread {
        median: time(spread.median.as_ref()),
        p90: time(spread.p90.as_ref()),
        known: spread.known,
        unknown: spread.unknown,
    }
}
