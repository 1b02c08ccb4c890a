//! `pinion notice`: what people are told without looking, and whether it arrives.

use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use pinion_client::v1;

use crate::args::release::{Notice, NoticeState};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view;

/// The longest time that a test takes: the server waits for the receiver.
const TEST_MAX: Duration = Duration::from_secs(150);

pub(super) async fn notice(session: &Session, args: Notice) -> Result<ExitCode, Failure> {
    match args {
        Notice::List { state, pin_set } => list(session, state, pin_set).await,
        Notice::Routes => routes(session).await,
        Notice::Test { name } => test(session, name).await,
    }
}

async fn list(
    session: &Session,
    state: Option<NoticeState>,
    pin_set: String,
) -> Result<ExitCode, Failure> {
    let connection = session.connect()?;
    let mut client = connection.notices();
    let state = state.and_then(|state| state.to_possible_value());
    let mut request = v1::ListNoticesRequest {
        pin_set,
        state: state
            .map(|state| state.get_name().to_owned())
            .unwrap_or_default(),
        ..Default::default()
    };
    let mut notices = Vec::new();
    loop {
        let response = connection
            .answer(client.list_notices(request.clone()))
            .await?;
        notices.extend(response.notices);
        request.page_token = response.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    session
        .terminal
        .answers(&notices, || match notices.is_empty() {
            true => "there is no such notice\n".to_owned(),
            false => view::notices(&notices),
        });
    Ok(Exit::Ok.into())
}

async fn routes(session: &Session) -> Result<ExitCode, Failure> {
    let connection = session.connect()?;
    let mut client = connection.notices();
    let response = connection
        .answer(client.list_routes(v1::ListRoutesRequest {}))
        .await?;
    let terminal = &session.terminal;
    terminal.answers(&response.routes, || {
        terminal.table(
            &view::routes(&response.routes),
            "the server's configuration has no `[[notice]]`, so nobody is told anything",
        )
    });
    Ok(Exit::Ok.into())
}

async fn test(session: &Session, name: String) -> Result<ExitCode, Failure> {
    let connection = session.connect()?.patient(TEST_MAX);
    let mut client = connection.notices();
    let request = v1::TestRouteRequest { name: name.clone() };
    let response = connection.answer(client.test_route(request)).await?;
    session
        .terminal
        .answer(&response, || format!("{}\n", response.answer));
    let (words, exit) = match response.sent {
        true => ("has taken a test", Exit::Ok),
        false => ("has not taken a test", Exit::Refused),
    };
    session
        .terminal
        .note(format_args!("the receiver of `{name}` {words}"));
    Ok(exit.into())
}
