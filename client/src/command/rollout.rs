//! `pinion rollout`: start, read, steer and stop rollouts.

use std::process::ExitCode;
use std::time::Duration;

use pinion_client::{Connection, v1};
use pinion_core::pin::split_candidate;

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
        Rollout::History { id, verify } => return history(session, id, verify).await,
        Rollout::Pause(change) => steer(session, change, Step::Pause).await,
        Rollout::Resume(change) => steer(session, change, Step::Resume).await,
        Rollout::Promote {
            change,
            share,
            override_approvals,
        } => {
            let step = Step::Promote {
                share: share.unwrap_or(0.0),
                override_approvals,
            };
            steer(session, change, step).await
        }
        Rollout::Approve { change, withdraw } => {
            let step = match withdraw {
                true => Step::Withdraw,
                false => Step::Approve,
            };
            steer(session, change, step).await
        }
        Rollout::Deny(change) => steer(session, change, Step::Deny).await,
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
        security: args.security,
        requires: pin_set::requirements(&args.requires)?,
    };
    let connection = session.connect()?;
    let mut client = connection.rollouts();
    let response = connection.answer(client.create_rollout(request)).await?;
    let rollout = response.rollout.clone().unwrap_or_default();
    session.terminal.answer(&response, || {
        let rules = rollout.policy.as_ref().filter(|_| args.check);
        let rules = rules.map(|rules| format!("\npolicy\n{}", view::policy(rules)));
        view::rollout(&rollout) + &rules.unwrap_or_default()
    });
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

async fn history(session: &Session, rollout: String, verify: bool) -> Result<ExitCode, Failure> {
    let connection = session.connect()?;
    let listed = decisions(&connection, &rollout).await;
    if verify {
        // What cannot be listed since an entry cannot be read can be checked all the same.
        return verify_history(session, &connection, rollout, listed).await;
    }
    let decisions = listed?;
    session
        .terminal
        .answers(&decisions, || match decisions.is_empty() {
            true => "nothing has been decided yet\n".to_owned(),
            false => decisions.iter().map(view::decision).collect(),
        });
    Ok(Exit::Ok.into())
}

async fn decisions(connection: &Connection, rollout: &str) -> Result<Vec<v1::Decision>, Failure> {
    let mut client = connection.rollouts();
    let mut decisions = Vec::new();
    let mut request = v1::ListDecisionsRequest {
        rollout: rollout.to_owned(),
        ..Default::default()
    };
    loop {
        let response = connection
            .answer(client.list_decisions(request.clone()))
            .await?;
        decisions.extend(response.decisions);
        request.page_token = response.next_page_token;
        if request.page_token.is_empty() {
            return Ok(decisions);
        }
    }
}

/// The longest time that the server takes to make every decision again.
const VERIFY_MAX: Duration = Duration::from_secs(60);

async fn verify_history(
    session: &Session,
    connection: &Connection,
    rollout: String,
    listed: Result<Vec<v1::Decision>, Failure>,
) -> Result<ExitCode, Failure> {
    let connection = connection.patient(VERIFY_MAX);
    let mut client = connection.audit();
    let request = v1::VerifyDecisionsRequest { rollout };
    let mut stream = connection.answer(client.verify_decisions(request)).await?;
    let mut checked = Vec::new();
    loop {
        let next = async { stream.message().await.map(tonic::Response::new) };
        match connection.answer(next).await? {
            Some(one) => checked.push(one),
            None => break,
        }
    }
    let decisions = listed.unwrap_or_default();
    session.terminal.answers(&checked, || {
        let mut text = String::new();
        for checked in checked.iter().filter(|checked| checked.sequence > 0) {
            let of = |decision: &&v1::Decision| decision.sequence == checked.sequence;
            match decisions.iter().find(of) {
                Some(decision) => text.push_str(&view::decision(decision)),
                None => text.push_str(&format!("{:>3}  cannot be read\n", checked.sequence)),
            }
            text.push_str(&view::checked(checked));
        }
        text + &view::verified(&checked)
    });
    let is_intact = checked.iter().all(|checked| checked.problems.is_empty());
    Ok(match is_intact {
        true => Exit::Ok,
        false => Exit::Refused,
    }
    .into())
}

/// What a person does to a rollout.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pause,
    Resume,
    Promote {
        share: f64,
        override_approvals: bool,
    },
    Approve,
    Withdraw,
    Deny,
    Abort,
    RollBack,
    File,
}

impl Step {
    /// The question before a step that cannot simply be taken back.
    fn question(self) -> Option<&'static str> {
        match self {
            Self::Pause | Self::Resume | Self::File | Self::Approve | Self::Withdraw => None,
            Self::Deny => Some("End it, so that nobody gets it?"),
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
        Step::Promote {
            share,
            override_approvals,
        } => {
            let request = v1::PromoteRolloutRequest {
                id,
                expected_revision,
                reason,
                share,
                override_approvals,
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
        Step::Approve => {
            let request = v1::ApproveRolloutRequest {
                id,
                expected_revision,
                reason,
            };
            connection
                .answer(client.approve_rollout(request))
                .await?
                .rollout
        }
        Step::Withdraw => {
            let request = v1::WithdrawApprovalRequest {
                id,
                expected_revision,
                reason,
            };
            connection
                .answer(client.withdraw_approval(request))
                .await?
                .rollout
        }
        Step::Deny => {
            let request = v1::DenyRolloutRequest {
                id,
                expected_revision,
                reason,
            };
            connection
                .answer(client.deny_rollout(request))
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
    match split_candidate(text) {
        Some((package, version, marker)) => Ok(v1::Candidate {
            package: package.to_owned(),
            version: version.to_owned(),
            marker: marker.to_owned(),
            publish_time,
        }),
        None => Err(
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
