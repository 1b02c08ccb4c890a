//! What the pictures of a rollout's page show, as numbers: they are drawn in the browser.

use pinion_core::evidence::{Evidence, Side, Wealth};
use pinion_core::log::LogEntry;
use pinion_core::time::Timestamp;
use serde_json::{Value, json};

use super::told::Told;

/// Standard deviations of the bands around failure shares: 95 of 100 such samples lie within.
const Z: f64 = 1.96;

/// A moment of a rollout.
struct Point<'a> {
    at: Timestamp,
    share: f64,
    evidence: &'a Evidence,
}

/// The pictures of one rollout.
#[derive(Debug)]
pub(super) struct Pictures {
    /// The share over time.
    pub(super) ramp: Value,
    /// Failures on both sides.
    pub(super) failures: Value,
    /// How far it is to a rollback, in percent of the way.
    pub(super) evidence: Value,
}

/// The pictures of a rollout and its decisions, oldest first; of one that is open up to now.
pub(super) fn pictures(told: &Told, decisions: &[LogEntry]) -> Pictures {
    let mut points: Vec<Point<'_>> = decisions
        .iter()
        .map(|entry| Point {
            at: entry.at,
            share: entry.share_after.value(),
            evidence: &entry.evidence,
        })
        .collect();
    if let Some(standing) = &told.standing {
        points.push(Point {
            at: told.now,
            share: told.rollout.share().value(),
            evidence: &standing.evidence,
        });
    }
    // A clock that was set back must not draw lines backwards.
    points.sort_by_key(|point| point.at);
    let known: Vec<&Point<'_>> = points
        .iter()
        .filter(|point| point.evidence.windows.log_threshold > 0.0)
        .collect();
    let time = |point: &Point<'_>| point.at.unix_ms() as f64 / 1000.0;
    let times: Vec<f64> = known.iter().map(|point| time(point)).collect();
    let side = |of: fn(&Evidence) -> &Side| -> Vec<[Option<f64>; 3]> {
        known.iter().map(|point| band(of(point.evidence))).collect()
    };
    let (exposed, control) = (
        side(|evidence| &evidence.exposed_total),
        side(|evidence| &evidence.control_total),
    );
    let column = |bands: &[[Option<f64>; 3]], place: usize| -> Vec<Option<f64>> {
        bands.iter().map(|band| band[place]).collect()
    };
    // Before anybody had it there was nothing to bet on, and so no evidence.
    let begun = decisions
        .iter()
        .find(|entry| entry.share_after.value() > 0.0)
        .map(|entry| entry.at)
        .filter(|at| known.first().is_some_and(|point| *at < point.at));
    let way = |of: fn(&Evidence) -> &Wealth| -> Vec<f64> {
        let known = known.iter().map(|point| way(of(point.evidence)));
        begun.map(|_| 0.0).into_iter().chain(known).collect()
    };
    let begun_time = begun.map(|at| at.unix_ms() as f64 / 1000.0);
    let way_times: Vec<f64> = begun_time.into_iter().chain(times.clone()).collect();
    Pictures {
        ramp: json!({
            "kind": "ramp",
            "times": points.iter().map(time).collect::<Vec<_>>(),
            "share": points.iter().map(|point| point.share * 100.0).collect::<Vec<_>>(),
        }),
        failures: json!({
            "kind": "failures",
            "times": times,
            "exposed": column(&exposed, 0), "exposedLow": column(&exposed, 1), "exposedHigh": column(&exposed, 2),
            "control": column(&control, 0), "controlLow": column(&control, 1), "controlHigh": column(&control, 2),
        }),
        evidence: json!({
            "kind": "evidence",
            "times": way_times,
            "windows": way(|evidence| &evidence.windows),
            "events": way(|evidence| &evidence.events),
        }),
    }
}

/// The part of the way to a rollback, in percent; against harm is none.
fn way(wealth: &Wealth) -> f64 {
    match wealth.log_threshold > 0.0 {
        true => (wealth.log_e / wealth.log_threshold).max(0.0) * 100.0,
        false => 0.0,
    }
}

/// The failing part of a side in percent, and where it lies with 95 % confidence after Wilson (1927).
fn band(side: &Side) -> [Option<f64>; 3] {
    let Some(share) = side.failed_share() else {
        return [None; 3];
    };
    let n = f64::from(side.reporting);
    let (z2, scale) = (Z * Z, 1.0 + Z * Z / n);
    let middle = (share + z2 / (2.0 * n)) / scale;
    let half = Z * ((share * (1.0 - share) + z2 / (4.0 * n)) / n).sqrt() / scale;
    let percent = |share: f64| Some(share.clamp(0.0, 1.0) * 100.0);
    [
        percent(share),
        percent(middle - half),
        percent(middle + half),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(reporting: u32, failed: u32) -> Side {
        Side {
            environments: reporting,
            reporting,
            failed,
            by_category: [0; 5],
        }
    }

    #[test]
    fn a_band_is_that_of_wilson() {
        // R: prop.test(5, 50, correct = FALSE)$conf.int
        let [share, low, high] = band(&side(50, 5)).map(Option::unwrap_or_default);
        assert!((share - 10.0).abs() < 1e-9);
        assert!((low - 4.3475).abs() < 1e-3, "{low}");
        assert!((high - 21.3602).abs() < 1e-3, "{high}");
        assert_eq!(band(&side(0, 0)), [None; 3]);
    }

    #[test]
    fn the_way_to_a_rollback_is_all_of_it_at_the_threshold() {
        let wealth = |log_e, log_threshold| Wealth {
            log_e,
            log_threshold,
            ..Wealth::default()
        };
        assert!((way(&wealth(6.2, 6.2)) - 100.0).abs() < 1e-9);
        assert!(way(&wealth(-3.0, 6.2)).abs() < 1e-9);
        assert!(way(&wealth(1.0, 0.0)).abs() < 1e-9);
    }
}
