//! Pins on the wire.

use pinion_core::rollout::Rollout;
use pinion_proto::v1 as proto;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::{
    Unreadable, from_change, from_duration, from_ecosystem, from_pin, from_timestamp, optional,
    pin_set,
};
use crate::controller::{Explained, Explanation, PinsAnswer, PinsQuery};
use crate::rpc::ready::Written;
use crate::snapshot::{Combination, Form};

/// What the frame of a message begins with that is not compressed.
const NOT_COMPRESSED: u8 = 0;

pub(crate) fn query(pin_set: &str, etag: String, baseline: bool) -> Result<PinsQuery, Unreadable> {
    Ok(PinsQuery {
        pin_set: optional("pin_set", pin_set)?,
        etag,
        baseline,
    })
}

pub(crate) fn pins(answer: &PinsAnswer) -> proto::GetPinsResponse {
    let PinsAnswer {
        combination,
        unchanged,
        age,
        store_revision,
    } = answer;
    proto::GetPinsResponse {
        age: age.map(from_duration),
        store_revision: *store_revision,
        ..combined(combination, *unchanged)
    }
}

/// The same, written: what all who have a combination are told is written once.
pub(crate) fn written_pins(answer: &PinsAnswer) -> Written {
    let PinsAnswer {
        combination,
        unchanged,
        age,
        store_revision,
    } = answer;
    let form = match unchanged {
        true => Form::Unchanged,
        false => Form::Message,
    };
    // Messages that are written one after the other are one message.
    let rest = proto::GetPinsResponse {
        age: age.map(from_duration),
        store_revision: *store_revision,
        ..Default::default()
    };
    Written {
        shared: combination.written(form, |one| combined(one, *unchanged).encode_to_vec()),
        own: rest.encode_to_vec(),
    }
}

/// The same, as a framed message of `WatchPins`, of which the own part is the first.
pub(crate) fn written_news(answer: &PinsAnswer) -> Written {
    let Written { shared, own: rest } = written_pins(answer);
    let length = rest.len() + shared.len();
    // The field's number and kind, then the length of what it holds.
    let mut message = Vec::new();
    encode_key(1, WireType::LengthDelimited, &mut message);
    encode_varint(length as u64, &mut message);
    message.extend(rest);
    let whole = u32::try_from(message.len() + shared.len()).unwrap_or(u32::MAX);
    let mut own = vec![NOT_COMPRESSED];
    own.extend(whole.to_be_bytes());
    own.extend(message);
    Written { shared, own }
}

/// What follows from a combination alone.
fn combined(combination: &Combination, unchanged: bool) -> proto::GetPinsResponse {
    let record = &combination.pin_set;
    let exposed = &combination.exposed;
    let (pins, verbatim_lines) = match unchanged {
        true => (Vec::new(), Vec::new()),
        false => (
            combination.pins().iter().map(from_pin).collect(),
            combination.verbatim.to_vec(),
        ),
    };
    proto::GetPinsResponse {
        etag: combination.etag.clone(),
        revision: record.revision,
        unchanged,
        pins,
        verbatim_lines,
        rollouts: exposed.iter().map(|one| one.id.to_string()).collect(),
        pin_set: record.name.to_string(),
        ecosystem: from_ecosystem(record.ecosystem).into(),
        repeat_failures: combination.repeat_failures,
        exposures: exposed.iter().map(|one| exposure(one)).collect(),
        age: None,
        store_revision: 0,
    }
}

fn exposure(rollout: &Rollout) -> proto::Exposure {
    proto::Exposure {
        rollout: rollout.id.to_string(),
        changes: rollout.changes.iter().map(from_change).collect(),
    }
}

pub(crate) fn explained(explained: &Explained) -> proto::ExplainPinsResponse {
    let Explained {
        pins,
        sentences,
        explanations,
        blocks,
    } = explained;
    proto::ExplainPinsResponse {
        pins: pins.iter().map(from_pin).collect(),
        sentences: sentences.clone(),
        explanations: explanations.iter().map(explanation).collect(),
        blocks: blocks
            .iter()
            .map(|(block, missing)| pin_set::block(block, *missing))
            .collect(),
    }
}

fn explanation(explanation: &Explanation) -> proto::Explanation {
    let Explanation {
        rollout,
        exposed,
        next,
        draw,
        waits_for: _,
    } = explanation;
    proto::Explanation {
        rollout: rollout.id.to_string(),
        exposed: *exposed,
        changes: rollout.changes.iter().map(from_change).collect(),
        share: rollout.share().value(),
        next_share: next.map_or(0.0, |(share, _)| share.value()),
        next_share_time: next.and_then(|(_, time)| time).map(from_timestamp),
        draw: *draw,
        state: rollout.state.kind().to_string(),
        shadow: rollout.is_shadow(),
    }
}
