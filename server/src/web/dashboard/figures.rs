//! The page of delivery figures.

use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::Response;
use pinion_core::figures::words::by_time;
use pinion_core::figures::{Delivery, Ended};
use serde::Deserialize;

use super::Dashboard;
use super::pages::optional;
use super::signed::Signed;
use super::views::{self, FiguresPage};
use crate::controller::{FiguresQuery, Refusal};

/// Packages that are told of.
const PACKAGES_MAX: usize = 50;
const DAY: Duration = Duration::from_secs(86_400);
/// How far back the page goes, in days, where nothing else is asked.
const DAYS: u32 = 90;
/// Bars of the picture, at most.
const BARS_MAX: u32 = 53;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    pin_set: String,
    #[serde(default)]
    package: String,
    days: Option<u32>,
}

pub(super) async fn figures(
    State(dashboard): State<Dashboard>,
    signed: Signed,
    Query(asked): Query<Asked>,
) -> Response {
    let shown = || {
        let (controller, caller) = (&dashboard.controller, &signed.caller);
        let package = asked.package.trim();
        let days = asked.days.unwrap_or(DAYS);
        let query = FiguresQuery {
            pin_set: optional("pin_set", &asked.pin_set)?,
            package: (!package.is_empty()).then(|| package.to_owned()),
            over: Some(DAY * days),
            until: None,
        };
        let (ended, over) = controller.ended(caller, &query)?;
        let ended: Vec<&Ended> = ended.iter().map(AsRef::as_ref).collect();
        // A week each, or longer ones where the weeks would be too many to see.
        let weeks = days.div_ceil(7).max(1);
        let weeks_each = weeks.div_ceil(BARS_MAX);
        let bars = weeks.div_ceil(weeks_each);
        let now = controller.clock.now();
        let bar = DAY * 7 * weeks_each;
        let pin_sets = controller.visible_pin_sets(caller)?;
        let page = FiguresPage {
            delivery: Delivery::of(&ended, over, PACKAGES_MAX),
            bars: by_time(ended.iter().copied(), now, bar, bars as usize),
            bar,
            now,
            days,
            pin_set: query.pin_set,
            package: package.to_owned(),
            pin_sets: pin_sets
                .iter()
                .map(|entry| entry.stored.record.name.clone())
                .collect(),
        };
        Ok(signed.page("Delivery figures", "", views::figures(&page)))
    };
    shown().unwrap_or_else(|refusal: Refusal| signed.refused(&refusal))
}
