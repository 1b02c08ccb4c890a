//! Asking for consent: what would be sent, in plain words and as it would go out.

use pinion_client::ingest::Fingerprint;
use pinion_client::v1::Category;
use pinion_client::{Run, v1};

use crate::failure::Failure;
use crate::session::{Session, do_not_track};

/// What the owner said, before being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stated {
    Agreed,
    Declined,
    Nothing,
}

/// Whether outcomes are reported. Nothing said, nobody to ask, Enter, DO_NOT_TRACK: each is a no.
pub(super) fn settle(session: &Session, stated: Stated) -> Result<bool, Failure> {
    let terminal = &session.terminal;
    if do_not_track() {
        if stated != Stated::Declined {
            terminal.note("DO_NOT_TRACK is set, so nothing is reported, whatever else was said");
        }
        return Ok(false);
    }
    match stated {
        Stated::Agreed => Ok(true),
        Stated::Declined => Ok(false),
        Stated::Nothing if terminal.is_attended() => {
            terminal.tell(&explanation());
            terminal.confirm("Report outcomes of `pinion run` from this checkout?")
        }
        Stated::Nothing => {
            terminal.note(
                "nothing is reported, since nobody could be asked; `pinion telemetry on` or \
                 --accept-reporting agrees",
            );
            Ok(false)
        }
    }
}

/// What consent means, and an example of what goes out.
pub(super) fn explanation() -> String {
    format!(
        "\
Pinion can report how commands that you start with `pinion run` end: that a run began, and whether it
passed, or failed in installing, building, testing, or by a crash. New versions are stopped on these
reports before they reach everybody. Without them this checkout gets only what has proved itself.

Sent: random ids, passed or failed, the kind of the failure, a hash of its error line (numbers, paths and
versions taken out first), and which pins were in use. Never sent: code, paths, names, output, test names.
The server keeps them under a random id that means nothing elsewhere. `pinion telemetry show` prints what
was sent, `pinion telemetry off` stops it, and `pinion leave` has the server forget this checkout; only
its anonymous count in rollouts that are still open stays until they end.

Joining itself tells the server the pin set, the platform and the team key. After a failing test run,
this is all that would be sent:

{example:#}

",
        example = pinion_proto::to_json(&example()),
    )
}

fn example() -> v1::ReportOutcomesRequest {
    let run = Run::with("5f1d7a84db00d2fc", &["ro-9c1185a5c5e9fc54".to_owned()]);
    let look = Fingerprint::of_failure("AssertionError", "143 != 0", "");
    v1::ReportOutcomesRequest {
        reports: vec![run.started(), run.failed(Category::Test, look.as_ref())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_whole_request_and_names_every_field() {
        let text = explanation();
        let json = text
            .split_once("\n\n{")
            .map(|(_, json)| format!("{{{json}"))
            .expect("JSON");
        let value: serde_json::Value = serde_json::from_str(json.trim()).expect("JSON");
        let fields: Vec<_> = value["reports"][1]
            .as_object()
            .expect("a report")
            .keys()
            .collect();
        assert_eq!(fields.len(), 8, "{fields:?}");
        assert_eq!(value["reports"][1]["category"], "CATEGORY_TEST");
    }
}
