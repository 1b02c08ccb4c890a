//! `pinion index`: where versions are published, and whether the server can read it.

use std::process::ExitCode;
use std::time::Duration;

use pinion_client::v1;

use super::pin_set::to_wire;
use crate::args::release::Index;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view;

/// The longest time that a check takes: the server asks the index several times, and waits for each answer.
const CHECK_MAX: Duration = Duration::from_secs(600);

pub(super) async fn index(session: &Session, args: Index) -> Result<ExitCode, Failure> {
    match args {
        Index::List => list(session).await,
        Index::Check { ecosystem, package } => {
            let request = v1::CheckIndexRequest {
                ecosystem: to_wire(ecosystem).into(),
                package,
            };
            check(session, request).await
        }
    }
}

async fn list(session: &Session) -> Result<ExitCode, Failure> {
    let connection = session.connect()?;
    let mut client = connection.indexes();
    let indexes = connection
        .answer(client.list_indexes(v1::ListIndexesRequest {}))
        .await?
        .indexes;
    let terminal = &session.terminal;
    terminal.answers(&indexes, || {
        terminal.table(
            &view::indexes(&indexes),
            "the server's configuration has no index",
        )
    });
    Ok(Exit::Ok.into())
}

async fn check(session: &Session, request: v1::CheckIndexRequest) -> Result<ExitCode, Failure> {
    let connection = session.connect()?.patient(CHECK_MAX);
    let mut client = connection.indexes();
    let response = connection.answer(client.check_index(request)).await?;
    session
        .terminal
        .answer(&response, || view::findings(&response.findings));
    let works = response.findings.iter().all(|finding| finding.works);
    Ok(match works {
        true => Exit::Ok.into(),
        false => Exit::Refused.into(),
    })
}
