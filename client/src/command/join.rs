//! `pinion join`: enrol this checkout.

use pinion_client::v1;

use crate::args::environment::Join;
use crate::checkout::{Checkout, Consent, Membership, canonical};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Patience, Session};
use crate::settings::Settings;

use super::consent::{self, Stated};

pub(super) async fn join(session: &Session, args: &Join) -> Result<(), Failure> {
    let directory = canonical(&session.globals.dir)?;
    if let Some(known) = Checkout::find(&directory)?
        && known.membership.checkout == directory
    {
        let sentence = format!(
            "this checkout follows `{}` already",
            known.membership.pin_set
        );
        return Err(Failure::new(Exit::Refused, sentence).next("`pinion leave` first"));
    }
    let settings = Settings::load()?;
    let place = session.place(&settings, None)?;
    let token = match session.given_token(&settings)? {
        Some(token) => token,
        None => session
            .terminal
            .secret("Token for enrolling (not shown): ")?,
    };
    let connection = session.open(&place, token, Patience::Asked)?;

    let stated = match (args.accept_reporting, args.no_reporting) {
        (true, _) => Stated::Agreed,
        (_, true) => Stated::Declined,
        (false, false) => Stated::Nothing,
    };
    let reporting = consent::settle(session, stated)?;
    // Before the server knows: whatever it may be told comes later.
    let joined = jiff::Timestamp::now();
    let request = v1::EnrollRequest {
        pin_set: args.pin_set.clone(),
        reporting,
        draw_key: args.team.clone(),
        platform: args.platform.clone().unwrap_or_else(this_platform),
        repeats: false,
    };
    let mut client = connection.environments();
    let response = connection.answer(client.enroll(request)).await?;
    let environment = response.environment.clone().unwrap_or_default();
    let membership = Membership {
        checkout: directory,
        server: place.server,
        environment: environment.id.clone(),
        pin_set: environment.pin_set.clone(),
        consent: if environment.reporting {
            Consent::On
        } else {
            Consent::Off
        },
        consented: environment.reporting.then_some(joined),
        repeat: None,
        ca_file: place.ca_file.as_deref().map(canonical).transpose()?,
        insecure_http: place.insecure_http,
        joined,
    };
    Checkout::create(membership, &response.token)?;

    // The token stays out of the answer: it is in its file, and nobody needs to see it.
    let shown = v1::GetEnvironmentResponse {
        environment: response.environment,
    };
    session.terminal.answer(&shown, || {
        let reports = match environment.reporting {
            true => "and reports outcomes",
            false => "and reports nothing",
        };
        format!(
            "joined `{}` as {}, {reports}\n",
            environment.pin_set, environment.id
        )
    });
    session
        .terminal
        .note("next: eval \"$(pinion sync)\", then `pinion run -- COMMAND`");
    Ok(())
}

fn this_platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}
