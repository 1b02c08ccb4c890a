//! A notice as programs take it: the body of a webhook. Fields are added and never change their meaning.

use serde_json::{Value, json};

use super::Notice;
use crate::name::NoticeId;

/// The body, as the Standard Webhooks have it: `type`, `timestamp` and `data`. Equal notices give equal bodies.
pub fn payload(id: &NoticeId, notice: &Notice) -> Value {
    let Notice {
        kind,
        at,
        pin_set,
        rollout,
        actor,
        subject,
        lines,
        ways,
        changes,
        link,
    } = notice;
    json!({
        "type": kind.as_str(),
        "timestamp": rfc3339(at.unix_ms()),
        "data": {
            "id": id.as_str(),
            "pin_set": pin_set,
            "rollout": rollout,
            "actor": actor,
            "subject": subject,
            "lines": lines,
            "ways": ways,
            "changes": changes,
            "link": link,
        },
    })
}

fn rfc3339(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms)
        .map_or_else(|_| unix_ms.to_string(), |time| time.to_string())
}
