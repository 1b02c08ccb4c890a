//! `pinion leave`: forget this checkout, there and here.

use pinion_client::adapters::{self, Insist};
use pinion_client::v1;
use tonic::Code;

use crate::args::environment::Leave;
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
        Ok(_) => {}
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
