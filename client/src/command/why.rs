//! `pinion why`: the reason of a version.

use pinion_client::v1;

use crate::args::environment::Why;
use crate::failure::Failure;
use crate::session::{Patience, Session};
use crate::view;

pub(super) async fn why(session: &Session, args: Why) -> Result<(), Failure> {
    let asks_elsewhere = !args.environment.is_empty() || !args.pin_set.is_empty();
    let connection = match session.checkout()? {
        Some(checkout) if !asks_elsewhere => {
            session.connect_checkout(&checkout, Patience::Asked)?
        }
        _ => session.connect()?,
    };
    let request = v1::ExplainPinsRequest {
        pin_set: args.pin_set,
        package: args.package.clone(),
        environment: args.environment,
    };
    let mut client = connection.pins();
    let response = connection.answer(client.explain_pins(request)).await?;
    session
        .terminal
        .answer(&response, || view::explanation(&args.package, &response));
    Ok(())
}
