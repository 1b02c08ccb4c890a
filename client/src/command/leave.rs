//! `pinion leave`: forget this checkout, there and here.

use pinion_client::adapters::{self, Insist};
use pinion_client::{Connection, Error, v1};
use tonic::Code;

use crate::args::environment::Leave;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Patience, Session};

use super::undo::tell_restored;

pub(super) async fn leave(session: &Session, args: &Leave) -> Result<(), Failure> {
    let checkout = session.joined()?;
    // The journal goes with everything else that is known here.
    tell_restored(session, &adapters::undo(&checkout.project(), Insist::No)?);
    let pin_set = checkout.membership.pin_set.clone();
    if args.local {
        checkout.remove()?;
        session.terminal.note(format_args!(
            "left `{pin_set}` here; the server was not told"
        ));
        return Ok(());
    }
    let connection = session.connect_checkout(&checkout, Patience::Asked)?;
    let mut client = connection.environments();
    let request = v1::DeleteEnvironmentRequest { id: String::new() };
    match connection.answer(client.delete_environment(request)).await {
        Ok(_) => prove(session, &connection).await?,
        // Forgotten there already: what is left is here.
        Err(error) if error.code() == Some(Code::NotFound) => {}
        Err(error) => {
            return Err(
                Failure::from(error).next("`pinion leave --local` removes what is here only")
            );
        }
    }
    checkout.remove()?;
    session.terminal.note(format_args!(
        "left `{pin_set}`; the server has forgotten this checkout"
    ));
    Ok(())
}

/// Asks for what was deleted, and says what the server answered.
///
/// The environment's token goes with it, so that a server which has forgotten both knows nobody by this token:
/// UNAUTHENTICATED; one that still knows the token says NOT_FOUND. Anything else is no proof.
async fn prove(session: &Session, connection: &Connection) -> Result<(), Failure> {
    let mut client = connection.environments();
    let request = v1::GetEnvironmentRequest { id: String::new() };
    let answer = connection.answer(client.get_environment(request)).await;
    let (code, what) = match answer.as_ref().map_err(Error::code) {
        Err(Some(Code::NotFound)) => ("NOT_FOUND", "the environment does not exist"),
        Err(Some(Code::Unauthenticated)) => (
            "UNAUTHENTICATED",
            "neither the environment nor its token exists",
        ),
        Ok(_) => {
            let sentence = "the server said that it forgot this checkout, but it still knows it";
            return Err(Failure::new(Exit::Refused, sentence)
                .next("tell the server's admin; `pinion leave --local` removes what is here"));
        }
        Err(_) => {
            session.terminal.warn(
                "the server said that it forgot this checkout, but it could not be asked again to prove it",
            );
            return Ok(());
        }
    };
    session
        .terminal
        .note(format_args!("read back: {code}, {what}"));
    Ok(())
}
