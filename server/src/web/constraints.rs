//! The constraints file of a pin set, as the caller's token gets it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use pinion_core::constraints::render;

use crate::controller::{Controller, PinsQuery, Refusal};
use crate::snapshot::{Combination, Form};

/// The file, or nothing where the caller has it already.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) etag: String,
    pub(super) text: Option<Bytes>,
    /// How old it may be, where this server is cut off from its store.
    pub(super) age: Option<Duration>,
}

/// The token in an `Authorization` header: after `Bearer`, or as the password of `Basic`.
pub(super) fn secret_of(header: &str) -> Option<String> {
    if let Some(secret) = header.strip_prefix("Bearer ") {
        return Some(secret.to_owned());
    }
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let (user, password) = String::from_utf8(decoded)
        .ok()?
        .split_once(':')
        .map(|(user, password)| (user.to_owned(), password.to_owned()))?;
    // A URL of the form `https://TOKEN@host/` has it as the user.
    Some(if password.is_empty() { user } else { password })
}

/// Answers a request for the file.
pub(super) fn answer(
    controller: &Controller,
    pin_set: &str,
    secret: Option<&str>,
    known: &str,
) -> Result<Answer, Refusal> {
    let caller = controller.identify(secret)?;
    let pin_set = pin_set
        .parse()
        .map_err(|error| Refusal::invalid("pin_set", error))?;
    let etag = known
        .split(',')
        .next()
        .unwrap_or_default()
        .trim()
        .trim_start_matches("W/")
        .trim_matches('"');
    let answer = controller.pins(
        &caller,
        &PinsQuery {
            pin_set: Some(pin_set),
            etag: etag.to_owned(),
            baseline: false,
        },
    )?;
    let text = match answer.unchanged {
        true => None,
        false => Some(answer.combination.written(Form::File, file)),
    };
    Ok(Answer {
        etag: answer.combination.etag.clone(),
        text,
        age: answer.age,
    })
}

fn file(combination: &Combination) -> Vec<u8> {
    let record = &combination.pin_set;
    let mut text = format!(
        "# {} revision {}, by pinion\n",
        record.name, record.revision
    );
    if combination.exposed.is_empty() {
        text.push_str("# the baseline: this environment is in no cohort\n");
    }
    for rollout in &combination.exposed {
        text.push_str(&format!("# with the candidate of rollout {}\n", rollout.id));
    }
    text.push_str("# `pinion why PACKAGE` tells why a version is here\n");
    text.push_str(&render(&combination.pins(), &combination.verbatim));
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_as_bearer_or_as_either_half_of_basic() {
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        assert_eq!(secret_of("Bearer x").as_deref(), Some("x"));
        assert_eq!(secret_of(&basic("pinion:x")).as_deref(), Some("x"));
        assert_eq!(secret_of(&basic("x:")).as_deref(), Some("x"));
        assert_eq!(secret_of("Digest x"), None);
        assert_eq!(secret_of("Basic ???"), None);
    }
}
