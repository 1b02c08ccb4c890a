//! This checkout: what was agreed on, the pins and whether tools use them, what waits.

use std::path::Path;

use jiff::Timestamp;

use crate::checkout::{Checkout, Consent};
use crate::failure::Failure;
use crate::session::do_not_track;
use crate::times::age;
use pinion_client::adapters::Kept;

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
    let always = [
        Check::ok("checkout", joined),
        of_consent(known.consent, do_not_track()),
        of_pins(checkout)?,
        of_constraints(&checkout.constraints()),
    ];
    let mut checks: Vec<_> = always.into_iter().collect();
    checks.extend(of_variables(checkout)?);
    checks.push(of_reports(checkout));
    Ok(checks)
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

/// Whether this shell has the variables by which the tool takes the applied pins; nothing where it needs none.
fn of_variables(checkout: &Checkout) -> Result<Option<Check>, Failure> {
    let Some(kept) = Kept::find(&checkout.project())? else {
        return Ok(None);
    };
    let is_set = |(name, ours): &(&str, &str)| {
        let value = std::env::var(name).unwrap_or_default();
        value == *ours || value.split_whitespace().any(|one| one == *ours)
    };
    let (set, unset): (Vec<_>, Vec<_>) = kept.overlay().variables().partition(is_set);
    let names = |variables: &[(&str, &str)]| {
        let names: Vec<_> = variables.iter().map(|(name, _)| *name).collect();
        names.join(" and ")
    };
    Ok(match (set.as_slice(), unset.as_slice()) {
        ([], []) => None,
        (set, []) => Some(Check::ok(
            "variables",
            format!("{} as {} needs it", names(set), kept.tool()),
        )),
        (_, unset) => Some(Check::warning(
            "variables",
            format!(
                "{} does not name the pins in this shell; `pinion run` does that by itself",
                names(unset)
            ),
            "eval \"$(pinion env)\"",
        )),
    })
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
