//! This checkout: what was agreed on, the pins and whether tools use them, what waits.

use std::path::Path;

use jiff::Timestamp;

use crate::checkout::{Checkout, Consent};
use crate::failure::Failure;
use crate::session::do_not_track;
use crate::times::age;
use pinion_client::adapters::location;

use super::check::Check;

/// Pins that nobody confirmed for longer are worth a word.
const PINS_AGE_S: i64 = 86_400;

pub(super) fn checks(checkout: Option<&Checkout>) -> Result<Vec<Check>, Failure> {
    let Some(checkout) = checkout else {
        return Ok(vec![Check::warning(
            "checkout",
            "this is no checkout that has joined a pin set",
            "`pinion join --server URL --pin-set NAME`",
        )]);
    };
    let known = &checkout.membership;
    let joined = format!(
        "`{}` follows `{}` as {}",
        known.checkout.display(),
        known.pin_set,
        known.environment
    );
    Ok(vec![
        Check::ok("checkout", joined),
        of_consent(known.consent, do_not_track()),
        of_pins(checkout)?,
        of_constraints(&checkout.constraints()),
        of_variables(&checkout.constraints()),
        of_reports(checkout),
    ])
}

fn of_consent(consent: Consent, silenced: bool) -> Check {
    match (consent, silenced) {
        (Consent::On, true) => Check::warning(
            "reporting",
            "agreed to, but DO_NOT_TRACK is set: nothing is sent",
            "unset DO_NOT_TRACK, or make it final by `pinion telemetry off`",
        ),
        (Consent::On, false) => Check::ok("reporting", "on"),
        (Consent::Local, _) => Check::ok("reporting", "local: kept here and never sent"),
        (Consent::Off, _) => Check::ok("reporting", "off: only what is complete is pulled"),
    }
}

fn of_pins(checkout: &Checkout) -> Result<Check, Failure> {
    let next = "`pinion sync`";
    let Some(pins) = checkout.saved_pins()? else {
        return Ok(Check::warning("pins", "none yet", next));
    };
    let now = Timestamp::now();
    let since = age(pins.confirmed, now);
    let found = format!(
        "{} of revision {}, confirmed {since} ago",
        pins.len(),
        pins.revision
    );
    Ok(match now.as_second() - pins.confirmed.as_second() {
        ..=PINS_AGE_S => Check::ok("pins", found),
        _ => Check::warning("pins", found, next),
    })
}

fn of_constraints(file: &Path) -> Check {
    match file.is_file() {
        true => Check::ok("constraints", format!("`{}`", file.display())),
        false => Check::warning(
            "constraints",
            format!("`{}` is not there", file.display()),
            "`pinion sync`",
        ),
    }
}

/// Whether pip and uv are pointed at the file in this shell.
fn of_variables(file: &Path) -> Check {
    let ours = [location(file), file.display().to_string()];
    let is_set = |name: &str| {
        let value = std::env::var(name).unwrap_or_default();
        value
            .split_whitespace()
            .any(|named| ours.iter().any(|ours| ours == named))
    };
    let unset: Vec<_> = ["PIP_CONSTRAINT", "UV_CONSTRAINT"]
        .into_iter()
        .filter(|name| !is_set(name))
        .collect();
    match unset.as_slice() {
        [] => Check::ok(
            "variables",
            "PIP_CONSTRAINT and UV_CONSTRAINT name the file",
        ),
        unset => Check::warning(
            "variables",
            format!(
                "the file is not named by {} in this shell; `pinion run` does that by itself",
                unset.join(" and ")
            ),
            "eval \"$(pinion sync)\"",
        ),
    }
}

fn of_reports(checkout: &Checkout) -> Check {
    let outbox = checkout.outbox();
    let (waiting, dropped) = (outbox.count(), outbox.dropped());
    let lost = match dropped {
        0 => String::new(),
        count => format!(", {count} were thrown away unsent"),
    };
    match (waiting, dropped) {
        (0, 0) => Check::ok("reports", "none wait"),
        _ => Check::warning(
            "reports",
            format!("{waiting} wait{lost}"),
            "`pinion sync` sends them when the server answers",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    #[test]
    fn consent_that_is_overruled_is_told() {
        assert_eq!(of_consent(Consent::On, true).state, State::Warning);
        for consent in [Consent::Off, Consent::Local, Consent::On] {
            assert_eq!(of_consent(consent, false).state, State::Ok);
        }
    }
}
