//! What was measured, and whether it is what is to be reached.

use std::fmt;

use futures_util::future::BoxFuture;
use hdrhistogram::Histogram;

use crate::{Arguments, Failure};

/// Measures something, and adds what came of it.
pub(crate) type Measure =
    for<'a> fn(&'a Arguments, &'a mut Table) -> BoxFuture<'a, Result<(), Failure>>;

/// What is to be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// It is told, and that is all.
    Nothing,
}

/// One thing that was measured.
#[derive(Debug)]
pub(crate) struct Line {
    /// What.
    pub(crate) name: String,
    /// How much.
    pub(crate) value: f64,
    /// Of what.
    pub(crate) unit: &'static str,
    /// How much it is to be.
    pub(crate) reach: Reach,
    /// What it was made of.
    pub(crate) detail: String,
    /// Times to the answer, in microseconds, where they were taken.
    pub(crate) times_us: Option<Histogram<u64>>,
}

impl Line {
    /// Whether it is as it is to be; none: nothing is asked of it.
    pub(crate) fn is_met(&self) -> Option<bool> {
        match self.reach {
            Reach::AtMost(most) => Some(self.value <= most),
            Reach::AtLeast(least) => Some(self.value >= least),
            Reach::Nothing => None,
        }
    }

    fn verdict(&self) -> &'static str {
        match self.is_met() {
            Some(true) => "met",
            Some(false) => "not met",
            None => "told",
        }
    }
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) lines: Vec<Line>,
}

impl Table {
    /// Adds a line, and says it, since the next one takes a while.
    pub(crate) fn add(&mut self, line: Line) {
        eprintln!("load: {}: {:.2} {}", line.name, line.value, line.unit);
        self.lines.push(line);
    }

    /// Adds what could not be measured.
    pub(crate) fn failed(&mut self, name: &str, error: &Failure) {
        self.add(Line {
            name: name.to_owned(),
            value: f64::NAN,
            unit: "",
            reach: Reach::AtMost(0.0),
            detail: format!("could not be measured: {error}"),
            times_us: None,
        });
    }

    /// The figures as JSON.
    pub(crate) fn json(&self) -> Result<String, Failure> {
        let line = |line: &Line| {
            let quantile =
                |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile);
            serde_json::json!({
                "name": line.name,
                "value": line.value,
                "unit": line.unit,
                "at_most": if let Reach::AtMost(most) = line.reach { Some(most) } else { None },
                "at_least": if let Reach::AtLeast(least) = line.reach { Some(least) } else { None },
                "verdict": line.verdict(),
                "detail": line.detail,
                "times_us": line.times_us.as_ref().map(|times| serde_json::json!({
                    "p50": quantile(times, 0.5),
                    "p90": quantile(times, 0.9),
                    "p99": quantile(times, 0.99),
                    "p999": quantile(times, 0.999),
                    "max": times.max(),
                    "count": times.len(),
                })),
            })
        };
        let lines: Vec<_> = self.lines.iter().map(line).collect();
        Ok(serde_json::to_string_pretty(&lines)?)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            let reach = match line.reach {
                Reach::AtMost(most) => format!("at most {most}"),
                Reach::AtLeast(least) => format!("at least {least}"),
                Reach::Nothing => String::new(),
            };
            writeln!(
                f,
                "{:7}  {:44} {:>9.2} {:24} {reach}",
                line.verdict(),
                line.name,
                line.value,
                line.unit
            )?;
            writeln!(f, "         {}", line.detail)?;
        }
        let asked = self.lines.iter().filter_map(Line::is_met);
        let met = asked.clone().filter(|is_met| *is_met).count();
        writeln!(f, "{met} of {} met", asked.count())
    }
}
