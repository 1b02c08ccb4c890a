//! The times to the answer as a picture: from the median to the slowest, on a logarithmic scale.

use std::fmt::Write as _;

use crate::table::Table;

const WIDTH: f64 = 760.0;
const ROW: f64 = 34.0;
const LEFT: f64 = 330.0;
/// The shortest and the longest time that is drawn, as powers of ten of a microsecond.
const DECADES: (f64, f64) = (1.0, 7.0);

/// An SVG of every line that has times.
pub(crate) fn draw(table: &Table) -> String {
    let lines: Vec<_> = table
        .lines
        .iter()
        .filter_map(|line| Some((line, line.times_us.as_ref()?)))
        .collect();
    let height = ROW * (lines.len() as f64 + 2.0);
    let x = |time_us: u64| {
        let place = ((time_us.max(1) as f64).log10() - DECADES.0) / (DECADES.1 - DECADES.0);
        LEFT + place.clamp(0.0, 1.0) * (WIDTH - LEFT - 20.0)
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (time_us, words) in [
        (100, "0.1 ms"),
        (1_000, "1 ms"),
        (10_000, "10 ms"),
        (100_000, "0.1 s"),
        (1_000_000, "1 s"),
    ] {
        let x = x(time_us);
        // Text that is written into a string cannot fail.
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"24\" y2=\"{height}\" stroke=\"#ddd\"/>\
             <text x=\"{x:.1}\" y=\"18\" text-anchor=\"middle\" fill=\"#555\">{words}</text>"
        );
    }
    for (row, (line, times)) in lines.iter().enumerate() {
        let y = ROW * (row as f64 + 1.5);
        let at = |quantile: f64| x(times.value_at_quantile(quantile));
        let _ = writeln!(
            svg,
            "<text x=\"8\" y=\"{:.1}\">{}</text>\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#9bc\" stroke-width=\"2\"/>\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#369\" stroke-width=\"8\"/>\
             <circle cx=\"{:.1}\" cy=\"{y}\" r=\"4\" fill=\"#c30\"/>",
            y + 4.0,
            line.name,
            at(0.5),
            at(1.0),
            at(0.5),
            at(0.9),
            at(0.99),
        );
    }
    svg.push_str(
        "<text x=\"8\" y=\"18\" fill=\"#555\">median to p90, p99 (dot), longest</text>\n</svg>\n",
    );
    svg
}
