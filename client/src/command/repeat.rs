//! `pinion repeat`: whether failing runs are repeated with the baseline.

use pinion_client::v1;

use crate::args::environment::Repeat;
use crate::checkout::Checkout;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Patience, Session};

pub(super) async fn repeat(session: &Session, args: Repeat) -> Result<(), Failure> {
    let checkout = session.joined()?;
    match args {
        Repeat::Show => {
            show(session, &checkout);
            Ok(())
        }
        Repeat::On { prepare } => agree(session, checkout, Some(prepare)).await,
        Repeat::Off => agree(session, checkout, None).await,
    }
}

fn show(session: &Session, checkout: &Checkout) {
    let prepare = checkout.membership.repeat.as_deref();
    let text = if session.terminal.is_json() {
        let value = serde_json::json!({ "repeats": prepare.is_some(), "prepare": prepare });
        format!("{value:#}\n")
    } else {
        match prepare {
            Some(prepare) => format!(
                "where the policy says so, failing runs are repeated once with the baseline, made ready by: {prepare}\n"
            ),
            None => "failing runs are not repeated\n".to_owned(),
        }
    };
    session.terminal.print(&text);
}

async fn agree(
    session: &Session,
    mut checkout: Checkout,
    prepare: Option<String>,
) -> Result<(), Failure> {
    if prepare.is_some() && !checkout.membership.consent.sends() {
        return Err(Failure::new(
            Exit::Refused,
            "what is not reported is not compared, so there is nothing to repeat it for",
        )
        .next("agree to report: `pinion telemetry on`"));
    }
    let connection = session.connect_checkout(&checkout, Patience::Asked)?;
    let mut client = connection.environments();
    let request = v1::UpdateEnvironmentRequest {
        repeats: Some(prepare.is_some()),
        ..v1::UpdateEnvironmentRequest::default()
    };
    connection
        .answer(client.update_environment(request))
        .await?;
    checkout.membership.repeat = prepare;
    checkout.save()?;
    show(session, &checkout);
    Ok(())
}
