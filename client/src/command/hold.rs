//! `pinion hold` and `pinion unhold`: standing refusals of this checkout.

use pinion_client::{Connection, v1};

use crate::args::environment::{Hold, Never};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Patience, Session};

pub(super) async fn hold(session: &Session, args: Hold) -> Result<(), Failure> {
    let (connection, mut holds) = holds(session).await?;
    let hold = v1::Hold {
        package: args.package,
        version: args.version,
    };
    if holds.contains(&hold) {
        session
            .terminal
            .note(format_args!("{} is held already", name(&hold)));
    } else {
        holds.push(hold);
    }
    replace(session, &connection, holds).await
}

pub(super) async fn never(session: &Session, args: Never) -> Result<(), Failure> {
    let Never { package, version } = args;
    hold(session, Hold { package, version }).await
}

pub(super) async fn unhold(session: &Session, args: Hold) -> Result<(), Failure> {
    let (connection, mut holds) = holds(session).await?;
    let unwanted = v1::Hold {
        package: args.package,
        version: args.version,
    };
    let before = holds.len();
    holds.retain(|hold| *hold != unwanted);
    if holds.len() == before {
        let sentence = format!("{} is not held", name(&unwanted));
        let failure = Failure::new(Exit::NotFound, sentence);
        return Err(failure.next(format!("held are: {}", list(&holds))));
    }
    replace(session, &connection, holds).await
}

async fn holds(session: &Session) -> Result<(Connection, Vec<v1::Hold>), Failure> {
    let checkout = session.joined()?;
    let connection = session.connect_checkout(&checkout, Patience::Asked)?;
    let mut client = connection.environments();
    let request = v1::GetEnvironmentRequest { id: String::new() };
    let response = connection.answer(client.get_environment(request)).await?;
    let holds = response.environment.map(|environment| environment.holds);
    Ok((connection, holds.unwrap_or_default()))
}

async fn replace(
    session: &Session,
    connection: &Connection,
    holds: Vec<v1::Hold>,
) -> Result<(), Failure> {
    let request = v1::UpdateEnvironmentRequest {
        replace_holds: true,
        holds,
        ..v1::UpdateEnvironmentRequest::default()
    };
    let mut client = connection.environments();
    let response = connection
        .answer(client.update_environment(request))
        .await?;
    session.terminal.answer(&response, || {
        let environment = response.environment.as_ref();
        let holds = environment.map(|environment| environment.holds.as_slice());
        format!("held: {}\n", list(holds.unwrap_or_default()))
    });
    session.terminal.note("the next `pinion sync` heeds it");
    Ok(())
}

pub(super) fn list(holds: &[v1::Hold]) -> String {
    match holds {
        [] => "nothing".to_owned(),
        holds => holds.iter().map(name).collect::<Vec<_>>().join(", "),
    }
}

fn name(hold: &v1::Hold) -> String {
    match hold.version.as_str() {
        "" => format!("{} (every candidate)", hold.package),
        version => format!("{} {version}", hold.package),
    }
}
