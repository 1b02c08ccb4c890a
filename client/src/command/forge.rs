//! `pinion forge`: where the server files changes, and whether it can.

use std::process::ExitCode;
use std::time::Duration;

use pinion_client::v1;

use crate::args::release::Forge;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view;

/// The longest time that a check takes: the server asks the forge several times, and waits for each answer.
const CHECK_MAX: Duration = Duration::from_secs(600);

pub(super) async fn forge(session: &Session, args: Forge) -> Result<ExitCode, Failure> {
    match args {
        Forge::List => list(session).await,
        Forge::Check { name, branch, path } => {
            let request = v1::CheckForgeRequest {
                name,
                branch: branch.unwrap_or_default(),
                path: path.unwrap_or_default(),
            };
            check(session, request).await
        }
    }
}

async fn list(session: &Session) -> Result<ExitCode, Failure> {
    let connection = session.connect()?;
    let mut client = connection.forges();
    let forges = connection
        .answer(client.list_forges(v1::ListForgesRequest {}))
        .await?
        .forges;
    let terminal = &session.terminal;
    terminal.answers(&forges, || {
        terminal.table(
            &view::forges(&forges),
            "the server's configuration has no forge",
        )
    });
    Ok(Exit::Ok.into())
}

async fn check(session: &Session, request: v1::CheckForgeRequest) -> Result<ExitCode, Failure> {
    let connection = session.connect()?.patient(CHECK_MAX);
    let mut client = connection.forges();
    let name = request.name.clone();
    let response = connection.answer(client.check_forge(request)).await?;
    session
        .terminal
        .answer(&response, || view::findings(&response.findings));
    let missing = response.findings.iter().filter(|finding| !finding.works);
    let exit = match missing.count() {
        0 => {
            session
                .terminal
                .note(format_args!("changes can be filed on `{name}`"));
            Exit::Ok
        }
        count => {
            session.terminal.note(format_args!(
                "changes cannot be filed on `{name}` yet; missing: {count}"
            ));
            Exit::Refused
        }
    };
    Ok(exit.into())
}
