//! A comparison as a picture: an SVG that is readable on light and on dark ground.

use std::fmt::Write as _;

use super::{Comparison, Row};

const WIDTH: f64 = 960.0;
/// Where the rows begin, and how high they are.
const TOP: f64 = 126.0;
const ROW: f64 = 18.0;
const GAP: f64 = 16.0;
/// Left end of the rules' names.
const RULE: f64 = 262.0;
/// The bars of what became of the rollouts.
const BAR: (f64, f64) = (384.0, 604.0);
/// The axis of harmed environments: none, then 1 to the fleet in logarithms.
const AXIS: (f64, f64) = (640.0, 880.0);
const AXIS_ONE: f64 = 664.0;
/// Right end of the hours.
const HOURS: f64 = 946.0;

const STYLE: &str = "\
text { font: 13px system-ui, 'DejaVu Sans', sans-serif; fill: #1f2328 } \
.head { font-size: 16px; font-weight: 600 } .own { font-weight: 600 } .small { font-size: 11px; fill: #59636e } \
.end { text-anchor: end } .middle { text-anchor: middle } \
.ground { fill: #ffffff } .rule { stroke: #d1d9e0; stroke-width: 1 } \
.all { fill: #2f78d0 } .waits { fill: #b4bcc6 } .back { fill: #e0742c } \
.dot { fill: #8b949e } .whisker { stroke: #8b949e; stroke-width: 2 } \
.own-dot { fill: #1a7f5a } .own-whisker { stroke: #1a7f5a; stroke-width: 2 } \
@media (prefers-color-scheme: dark) { \
text { fill: #e6edf3 } .small { fill: #9198a1 } .ground { fill: #0d1117 } .rule { stroke: #30363d } \
.all { fill: #4493f8 } .waits { fill: #656c76 } .back { fill: #f0883e } \
.dot { fill: #7d8590 } .whisker { stroke: #7d8590 } \
.own-dot { fill: #3fb984 } .own-whisker { stroke: #3fb984 } }";

/// The picture of a comparison.
pub fn svg(report: &Comparison) -> String {
    let groups: Vec<&[Row]> = report
        .rows
        .chunk_by(|one, other| one.candidate == other.candidate)
        .collect();
    let rows: f64 = groups
        .iter()
        .map(|rows| ROW * rows.len() as f64 + GAP)
        .sum();
    let bottom = TOP + rows;
    let height = bottom + 34.0;
    let mut body = String::new();
    head(&mut body, report, bottom);
    let mut y = TOP;
    for rows in groups {
        line(
            &mut body,
            (16.0, y - GAP / 2.0),
            (WIDTH - 14.0, y - GAP / 2.0),
            "rule",
        );
        text(&mut body, (16.0, y + 13.0), "own", rows[0].candidate);
        for (place, row) in rows.iter().enumerate() {
            let is_ours = place == 0;
            draw_row(&mut body, report, row, y, is_ours);
            y += ROW;
        }
        y += GAP;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>What a rollout policy would do</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\"/>\n{body}</svg>\n"
    )
}

fn head(body: &mut String, report: &Comparison, bottom: f64) {
    text(
        body,
        (16.0, 30.0),
        "head",
        "What the policy would do, next to other ways",
    );
    text(body, (16.0, 51.0), "", &report.subject());
    let mut x = BAR.0;
    for (class, words) in [
        ("all", "everybody has it"),
        ("waits", "waits"),
        ("back", "taken back"),
    ] {
        rect(body, (x, 74.0), (11.0, 11.0), class);
        text(body, (x + 16.0, 84.0), "small", words);
        x += 24.0 + 5.6 * words.len() as f64;
    }
    text(
        body,
        (AXIS.0 - 4.0, 84.0),
        "small",
        "harmed: median, to 90 %",
    );
    text(body, (HOURS, 84.0), "small end", "hours to all");
    for (place, words) in [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")] {
        let x = BAR.0 + place * (BAR.1 - BAR.0);
        text(body, (x, 106.0), "small middle", words);
    }
    let mut tick = 1u32;
    let mut ticks = vec![0];
    while tick <= report.environments {
        ticks.push(tick);
        tick = tick.saturating_mul(10);
    }
    for tick in ticks {
        let x = harmed_x(tick, report.environments);
        text(body, (x, 106.0), "small middle", &tick.to_string());
        line(body, (x, 112.0), (x, bottom - GAP / 2.0), "rule");
    }
    let foot = format!(
        "seed {}; harm is counted for ten working days; an hour is a working hour",
        report.seed
    );
    text(body, (16.0, bottom + 16.0), "small", &foot);
}

fn draw_row(body: &mut String, report: &Comparison, row: &Row, y: f64, is_ours: bool) {
    let tally = &row.tally;
    let own = if is_ours { "own" } else { "" };
    text(body, (RULE, y + 13.0), own, row.rule);
    let mut x = BAR.0;
    for (class, part) in [
        ("all", tally.complete()),
        ("waits", tally.waiting()),
        ("back", tally.rolled_back()),
    ] {
        let width = part * (BAR.1 - BAR.0);
        if width > 0.0 {
            rect(body, (x, y + 2.0), (width, ROW - 5.0), class);
        }
        x += width;
    }
    let at = |part| harmed_x(tally.harmed(part).unwrap_or(0), report.environments);
    let (median, most) = (at(0.5), at(0.9));
    let middle = y + ROW / 2.0;
    let (dot, whisker) = match is_ours {
        true => ("own-dot", "own-whisker"),
        false => ("dot", "whisker"),
    };
    line(body, (median, middle), (most, middle), whisker);
    line(body, (most, middle - 4.0), (most, middle + 4.0), whisker);
    let _ = writeln!(
        body,
        "<circle class=\"{dot}\" cx=\"{median:.1}\" cy=\"{middle:.1}\" r=\"4.5\"/>"
    );
    let hours = tally
        .full_h(0.5)
        .map_or_else(|| "-".to_owned(), |hours| hours.to_string());
    text(body, (HOURS, y + 13.0), &format!("end {own}"), &hours);
}

fn harmed_x(harmed: u32, environments: u32) -> f64 {
    if harmed == 0 {
        return AXIS.0;
    }
    let decades = f64::from(environments.max(10)).log10();
    AXIS_ONE + (AXIS.1 - AXIS_ONE) * f64::from(harmed).log10() / decades
}

// Writing to a string cannot fail.

fn text(body: &mut String, (x, y): (f64, f64), class: &str, words: &str) {
    let _ = writeln!(
        body,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>"
    );
}

fn line(body: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
    let _ = writeln!(
        body,
        "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    );
}

fn rect(body: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), class: &str) {
    let _ = writeln!(
        body,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mixture::Target;
    use crate::simulation::{Course, Ending, Tally};

    fn row(candidate: &'static str, rule: &'static str, harmed: u32) -> Row {
        let mut tally = Tally::default();
        let blamed = Target::Any;
        tally.add(&Course {
            ending: Ending::RolledBack { blamed },
            full_h: None,
            harmed,
            share_peak: 0.1,
        });
        Row {
            candidate,
            rule,
            tally,
        }
    }

    #[test]
    fn a_picture_shows_every_row() {
        let report = Comparison {
            environments: 500,
            failure_rate: 0.15,
            verified: true,
            rollouts: 1,
            seed: 1,
            alpha: 0.005,
            rows: vec![
                row("bad", "ours", 3),
                row("bad", "theirs", 500),
                row("good", "ours", 0),
            ],
        };
        let svg = svg(&report);
        assert_eq!(svg.matches("<circle ").count(), 3);
        assert!(svg.contains("prefers-color-scheme: dark"));
        assert!(svg.contains(">theirs<") && svg.contains(">good<"), "{svg}");
    }

    #[test]
    fn everybody_is_at_the_right_end_and_nobody_at_the_left() {
        for environments in [1, 50, 500, 50_000] {
            assert!((harmed_x(0, environments) - AXIS.0).abs() < 1e-9);
            assert!(harmed_x(environments, environments) <= AXIS.1 + 1e-9);
        }
        assert!((harmed_x(500, 500) - AXIS.1).abs() < 1e-9);
    }
}
