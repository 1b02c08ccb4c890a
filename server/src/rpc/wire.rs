//! The wire and what it means: every message is taken apart in full on the way in and put together in full
//! on the way out. No generated type goes beyond this.

use pinion_core::draw::Share;
use pinion_core::ecosystem::Ecosystem;
use pinion_core::pin::{PackageChange, Pin};
use pinion_core::time::Timestamp;
use pinion_proto::v1 as proto;

mod admin;
mod audit;
mod environment;
mod figures;
mod gate;
mod outcome;
mod pin;
mod pin_set;
mod policy;
mod rollout;
mod rules;

pub(crate) use admin::{from_role, to_token_request, token};
pub(crate) use audit::{audit_checked, audit_entry, verified};
pub(crate) use environment::{change as environment_change, enrolment, environment};
pub(crate) use figures::{delivery, figures_query};
pub(crate) use gate::{gate, gate_report, lease};
pub(crate) use outcome::reports;
pub(crate) use pin::{explained, pins, query, written_news, written_pins};
pub(crate) use pin_set::{
    PinSetNews, block, import, pin_set, resolved, source, to_resolve, unkept_line, wanted,
};
pub(crate) use policy::{from_policy, to_policy};
pub(crate) use rollout::{decision, declared, new_rollout, rollout};
pub(crate) use rules::from_bump;

/// A field that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {cause}")]
pub struct Unreadable {
    /// Which field.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub cause: String,
}

impl Unreadable {
    pub(crate) fn new(field: impl Into<String>, cause: impl ToString) -> Self {
        Self {
            field: field.into(),
            cause: cause.to_string(),
        }
    }
}

/// A name of the field, from its text.
pub(crate) fn name<T: std::str::FromStr<Err: ToString>>(
    field: &str,
    text: &str,
) -> Result<T, Unreadable> {
    text.parse()
        .map_err(|error: T::Err| Unreadable::new(field, error.to_string()))
}

/// A name, or none where the text is empty.
pub(crate) fn optional<T: std::str::FromStr<Err: ToString>>(
    field: &str,
    text: &str,
) -> Result<Option<T>, Unreadable> {
    if text.is_empty() {
        Ok(None)
    } else {
        name(field, text).map(Some)
    }
}

pub(crate) fn to_timestamp(
    field: &str,
    time: prost_types::Timestamp,
) -> Result<Timestamp, Unreadable> {
    let prost_types::Timestamp { seconds, nanos } = time;
    // Until the year 9999, as the message's own documentation has it.
    if !(-62_135_596_800..=253_402_300_799).contains(&seconds)
        || !(0..=999_999_999).contains(&nanos)
    {
        return Err(Unreadable::new(
            field,
            "it lies outside the years 1 to 9999",
        ));
    }
    Ok(Timestamp::from_unix_ms(
        seconds * 1000 + i64::from(nanos / 1_000_000),
    ))
}

pub(crate) fn from_timestamp(time: Timestamp) -> prost_types::Timestamp {
    let (seconds, ms) = (
        time.unix_ms().div_euclid(1000),
        time.unix_ms().rem_euclid(1000),
    );
    prost_types::Timestamp {
        seconds,
        nanos: i32::try_from(ms * 1_000_000).unwrap_or(0),
    }
}

pub(crate) fn to_duration(
    field: &str,
    duration: prost_types::Duration,
) -> Result<std::time::Duration, Unreadable> {
    std::time::Duration::try_from(duration)
        .map_err(|_| Unreadable::new(field, "it is negative or too long"))
}

pub(crate) fn from_duration(duration: std::time::Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

pub(crate) fn to_share(field: &str, share: f64) -> Result<Share, Unreadable> {
    Share::new(share).map_err(|error| Unreadable::new(field, error))
}

pub(crate) fn to_ecosystem(ecosystem: i32) -> Result<Ecosystem, Unreadable> {
    match proto::Ecosystem::try_from(ecosystem) {
        Ok(proto::Ecosystem::Pypi) => Ok(Ecosystem::Pypi),
        Ok(proto::Ecosystem::Cargo) => Ok(Ecosystem::Cargo),
        Ok(proto::Ecosystem::Npm) => Ok(Ecosystem::Npm),
        Ok(proto::Ecosystem::Go) => Ok(Ecosystem::Go),
        Ok(proto::Ecosystem::Unspecified) | Err(_) => Err(Unreadable::new(
            "ecosystem",
            "say which one: pypi, cargo, npm or go",
        )),
    }
}

pub(crate) const fn from_ecosystem(ecosystem: Ecosystem) -> proto::Ecosystem {
    match ecosystem {
        Ecosystem::Pypi => proto::Ecosystem::Pypi,
        Ecosystem::Cargo => proto::Ecosystem::Cargo,
        Ecosystem::Npm => proto::Ecosystem::Npm,
        Ecosystem::Go => proto::Ecosystem::Go,
    }
}

pub(crate) fn from_pin(pin: &Pin) -> proto::Pin {
    let Pin {
        package,
        version,
        marker,
    } = pin;
    proto::Pin {
        package: package.written().to_owned(),
        version: version.to_string(),
        marker: marker.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

pub(crate) fn from_change(change: &PackageChange) -> proto::PackageChange {
    let PackageChange {
        package,
        marker,
        from,
        to,
    } = change;
    proto::PackageChange {
        package: package.written().to_owned(),
        marker: marker.as_ref().map(ToString::to_string).unwrap_or_default(),
        from_version: from.as_ref().map(ToString::to_string).unwrap_or_default(),
        to_version: to.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}
