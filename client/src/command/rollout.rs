//! `pinion rollout`: start, read, steer and stop rollouts.

use std::process::ExitCode;

use pinion_client::{Connection, v1};

use crate::args::release::{ChangeRollout, Rollout, StartRollout};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::times::to_wire_time;
use crate::view;

use super::{pin_set, watch};

pub(super) async fn rollout(session: &Session, args: Rollout) -> Result<ExitCode, Failure> {
    let done = match args {
        Rollout::Watch { id, pin_set } => return watch::watch(session, id, pin_set).await,
        Rollout::Start(args) => start(session, args).await,
        Rollout::List { all, pin_set } => list(session, !all, pin_set).await,
        Rollout::Show { id } => show(session, id).await,
        Rollout::History { id } => history(session, id).await,
        Rollout::Pause(change) => steer(session, change, Step::Pause).await,
        Rollout::Resume(change) => steer(session, change, Step::Resume).await,
        Rollout::Promote { change, share } => {
            let share = share.unwrap_or(0.0);
            steer(session, change, Step::Promote { share }).await
        }
        Rollout::Abort(change) => steer(session, change, Step::Abort).await,
        Rollout::File(change) => steer(session, change, Step::File).await,
        Rollout::Rollback(change) => steer(session, change, Step::RollBack).await,
    };
    done.map(|()| Exit::Ok.into())
}

async fn start(session: &Session, args: StartRollout) -> Result<(), Failure> {
    let published = args.published.map(to_wire_time);
    let candidates = args
        .candidates
        .iter()
        .map(|text| candidate(text, published));
    let request = v1::CreateRolloutRequest {
        pin_set: args.pin_set,
        candidates: candidates.collect::<Result<_, _>>()?,
        allow_downgrade: args.allow_downgrade,
        expected_revision: args.expected_revision,
        validate_only: args.check,
        requires: pin_set::requirements(&args.requires)?,
    };
    let connection = session.connect()?;
    let mut client = connection.rollouts();
    let response = connection.answer(client.create_rollout(request)).await?;
    let rollout = response.rollout.clone().unwrap_or_default();
    session
        .terminal
        .answer(&response, || view::rollout(&rollout));
    for superseded in &response.superseded_rollouts {
        session
            .terminal
            .note(format_args!("rollout {superseded} ended as superseded"));
    }
    session.terminal.note(match args.check {
        true => "checked only; nothing was started".to_owned(),
        false => format!("next: pinion rollout watch {}", rollout.id),
    });
    Ok(())
}

async fn list(session: &Session, open_only: bool, pin_set: String) -> Result<(), Failure> {
    let connection = session.connect()?;
    let mut client = connection.rollouts();
    let mut rollouts = Vec::new();
    let mut request = v1::ListRolloutsRequest {
        pin_set,
        open_only,
        ..Default::default()
    };
    loop {
        let response = connection
            .answer(client.list_rollouts(request.clone()))
            .await?;
        rollouts.extend(response.rollouts);
        request.page_token = response.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let when_empty = match open_only {
        true => "no rollout is open; --all lists the ended ones",
        false => "there are no rollouts",
    };
    let terminal = &session.terminal;
    terminal.answers(&rollouts, || {
        terminal.table(&view::rollouts(&rollouts), when_empty)
    });
    Ok(())
}

async fn show(session: &Session, id: String) -> Result<(), Failure> {
    let connection = session.connect()?;
    let response = get(&connection, id).await?;
    session.terminal.answer(&response, || {
        view::rollout(&response.rollout.clone().unwrap_or_default())
    });
    Ok(())
}

async fn get(connection: &Connection, id: String) -> Result<v1::GetRolloutResponse, Failure> {
    let mut client = connection.rollouts();
    Ok(connection
        .answer(client.get_rollout(v1::GetRolloutRequest { id }))
        .await?)
}

async fn history(session: &Session, rollout: String) -> Result<(), Failure> {
    let connection = session.connect()?;
    let mut client = connection.rollouts();
    let mut decisions = Vec::new();
    let mut request = v1::ListDecisionsRequest {
        rollout,
        ..Default::default()
    };
    loop {
        let response = connection
            .answer(client.list_decisions(request.clone()))
            .await?;
        decisions.extend(response.decisions);
        request.page_token = response.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    session
        .terminal
        .answers(&decisions, || match decisions.is_empty() {
            true => "nothing has been decided yet\n".to_owned(),
            false => decisions.iter().map(view::decision).collect(),
        });
    Ok(())
}

/// What a person does to a rollout.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pause,
    Resume,
    Promote { share: f64 },
    Abort,
    RollBack,
    File,
}

impl Step {
    /// The question before a step that cannot simply be taken back.
    fn question(self) -> Option<&'static str> {
        match self {
            Self::Pause | Self::Resume | Self::File => None,
            Self::Promote { .. } => Some("Raise its share now, ahead of the evidence?"),
            Self::Abort => Some("End it and serve the baseline to everybody at once?"),
            Self::RollBack => Some(
                "End it, serve the baseline at once, block the versions and file the rollback?",
            ),
        }
    }
}

async fn steer(session: &Session, change: ChangeRollout, step: Step) -> Result<(), Failure> {
    let connection = session.connect()?;
    if let Some(question) = step.question()
        && !change.yes
        && session.terminal.is_attended()
    {
        let shown = get(&connection, change.id.clone())
            .await?
            .rollout
            .unwrap_or_default();
        session.terminal.tell(&view::headline(&shown));
        if !session.terminal.confirm(question)? {
            return Err(Failure::new(Exit::Refused, "nothing was changed"));
        }
    }
    let rollout = take(&connection, change, step).await?;
    let response = v1::GetRolloutResponse {
        rollout: Some(rollout),
    };
    session.terminal.answer(&response, || {
        view::rollout(&response.rollout.clone().unwrap_or_default())
    });
    Ok(())
}

/// Every answer to a step is the rollout as it is now.
async fn take(
    connection: &Connection,
    change: ChangeRollout,
    step: Step,
) -> Result<v1::Rollout, Failure> {
    let ChangeRollout {
        id,
        reason,
        expected_revision,
        yes: _,
    } = change;
    let mut client = connection.rollouts();
    let rollout = match step {
        Step::Pause => {
            let request = v1::PauseRolloutRequest {
                id,
                expected_revision,
                reason,
            };
            connection
                .answer(client.pause_rollout(request))
                .await?
                .rollout
        }
        Step::Resume => {
            let request = v1::ResumeRolloutRequest {
                id,
                expected_revision,
                reason,
            };
            connection
                .answer(client.resume_rollout(request))
                .await?
                .rollout
        }
        Step::Promote { share } => {
            let request = v1::PromoteRolloutRequest {
                id,
                expected_revision,
                reason,
                share,
            };
            connection
                .answer(client.promote_rollout(request))
                .await?
                .rollout
        }
        Step::Abort => {
            let request = v1::AbortRolloutRequest {
                id,
                expected_revision,
                reason,
            };
            connection
                .answer(client.abort_rollout(request))
                .await?
                .rollout
        }
        Step::RollBack => {
            let request = v1::RollBackRolloutRequest {
                id,
                expected_revision,
                reason,
            };
            connection
                .answer(client.roll_back_rollout(request))
                .await?
                .rollout
        }
        Step::File => {
            let request = v1::FileRolloutRequest {
                id,
                expected_revision,
                reason,
            };
            connection
                .answer(client.file_rollout(request))
                .await?
                .rollout
        }
    };
    Ok(rollout.unwrap_or_default())
}

/// Reads `PACKAGE==VERSION` or `PACKAGE==VERSION;MARKER`; three `=` are as good as two.
fn candidate(
    text: &str,
    publish_time: Option<prost_types::Timestamp>,
) -> Result<v1::Candidate, Failure> {
    let (exact, marker) = text.split_once(';').unwrap_or((text, ""));
    let parts = exact.split_once("==");
    let parts =
        parts.map(|(package, version)| (package.trim(), version.trim_start_matches('=').trim()));
    match parts {
        Some((package, version)) if !package.is_empty() && !version.is_empty() => {
            Ok(v1::Candidate {
                package: package.to_owned(),
                version: version.to_owned(),
                marker: marker.trim().to_owned(),
                publish_time,
            })
        }
        _ => Err(
            Failure::new(Exit::Invalid, format!("`{text}` is no candidate"))
                .next("write it as PACKAGE==VERSION, such as requests==2.32.0"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_a_package_at_a_version_where_a_marker_holds() {
        let read = |text| candidate(text, None).map(|c| (c.package, c.version, c.marker));
        assert_eq!(
            read("a==1").expect("one"),
            ("a".into(), "1".into(), "".into())
        );
        let marked = read("a === 1.0 ; python_version < '3'").expect("one");
        assert_eq!(
            marked,
            ("a".into(), "1.0".into(), "python_version < '3'".into())
        );
        for text in ["a", "a>=1", "==1", "a=="] {
            assert_eq!(read(text).expect_err(text).exit, Exit::Invalid);
        }
    }
}
