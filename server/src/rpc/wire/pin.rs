//! Pins on the wire.

use pinion_core::rollout::Rollout;
use pinion_proto::v1 as proto;

use super::{
    Unreadable, from_change, from_duration, from_ecosystem, from_pin, from_timestamp, optional,
    pin_set,
};
use crate::controller::{Explained, Explanation, PinsAnswer, PinsQuery};

pub(crate) fn query(pin_set: &str, etag: String, baseline: bool) -> Result<PinsQuery, Unreadable> {
    Ok(PinsQuery {
        pin_set: optional("pin_set", pin_set)?,
        etag,
        baseline,
    })
}

pub(crate) fn pins(answer: &PinsAnswer) -> proto::GetPinsResponse {
    let PinsAnswer {
        etag,
        revision,
        pin_set,
        ecosystem,
        pins,
        exposed,
        repeat_failures,
        age,
        store_revision,
    } = answer;
    let (list, verbatim_lines) = match pins {
        Some((pins, verbatim)) => (pins.iter().map(from_pin).collect(), verbatim.to_vec()),
        None => (Vec::new(), Vec::new()),
    };
    proto::GetPinsResponse {
        etag: etag.clone(),
        revision: *revision,
        unchanged: pins.is_none(),
        pins: list,
        verbatim_lines,
        rollouts: exposed.iter().map(|one| one.id.to_string()).collect(),
        pin_set: pin_set.to_string(),
        ecosystem: from_ecosystem(*ecosystem).into(),
        repeat_failures: *repeat_failures,
        exposures: exposed.iter().map(|one| exposure(one)).collect(),
        age: age.map(from_duration),
        store_revision: *store_revision,
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
