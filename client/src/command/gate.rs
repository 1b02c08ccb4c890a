//! `pinion gate`: what waits for a consumer's tests, and a job that runs them.

mod place;
mod report;
mod run;

use std::process::ExitCode;

use pinion_client::v1;

use crate::args::gate::Gate;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::view;

pub(super) async fn gate(session: &Session, args: Gate) -> Result<ExitCode, Failure> {
    match args {
        Gate::List { consumer, pin_set } => list(session, consumer, pin_set).await?,
        Gate::Run(args) => return run::run(session, &args).await,
    }
    Ok(Exit::Ok.into())
}

async fn list(session: &Session, consumer: String, pin_set: String) -> Result<(), Failure> {
    let connection = session.connect()?;
    let mut client = connection.gates();
    let mut gates = Vec::new();
    let mut request = v1::ListGatesRequest {
        consumer,
        pin_set,
        ..Default::default()
    };
    loop {
        let response = connection
            .answer(client.list_gates(request.clone()))
            .await?;
        gates.extend(response.gates);
        request.page_token = response.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let terminal = &session.terminal;
    terminal.answers(&gates, || {
        terminal.table(&view::gates(&gates), "no rollout has a gate before it")
    });
    Ok(())
}
