//! `pinion now`: take candidates of a package at once, as a volunteer.

use pinion_client::v1;

use crate::args::environment::Now;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Patience, Session};

pub(super) async fn now(session: &Session, args: Now) -> Result<(), Failure> {
    let checkout = session.joined()?;
    if !args.stop && !checkout.membership.consent.sends() {
        return Err(Failure::new(
            Exit::Refused,
            "who reports nothing gets only what is complete, so there is nothing to take early",
        )
        .next("agree to report: `pinion telemetry on`"));
    }
    let connection = session.connect_checkout(&checkout, Patience::Asked)?;
    let mut client = connection.environments();
    let request = v1::GetEnvironmentRequest { id: String::new() };
    let response = connection.answer(client.get_environment(request)).await?;
    let environment = response.environment.unwrap_or_default();
    let volunteers = match args.stop {
        true => without(environment.volunteers, &args.package)?,
        false => with(environment.volunteers, args.package),
    };
    let request = v1::UpdateEnvironmentRequest {
        replace_volunteers: true,
        volunteers,
        ..v1::UpdateEnvironmentRequest::default()
    };
    let response = connection
        .answer(client.update_environment(request))
        .await?;
    session.terminal.answer(&response, || {
        let environment = response.environment.clone().unwrap_or_default();
        format!(
            "candidates are taken at once of: {}\n",
            list(&environment.volunteers)
        )
    });
    if !args.stop {
        session.terminal.note(
            "`pinion sync` brings them as soon as a rollout has begun; what happens with them here is no part of \
             the evidence, and a hold wins",
        );
    }
    Ok(())
}

pub(super) fn list(packages: &[String]) -> String {
    match packages {
        [] => "nothing".to_owned(),
        packages => packages.join(", "),
    }
}

fn with(mut packages: Vec<String>, package: String) -> Vec<String> {
    if !packages.contains(&package) {
        packages.push(package);
    }
    packages
}

fn without(mut packages: Vec<String>, package: &str) -> Result<Vec<String>, Failure> {
    let before = packages.len();
    packages.retain(|known| known != package);
    if packages.len() == before {
        let sentence = format!("candidates of {package} are not taken at once");
        let failure = Failure::new(Exit::NotFound, sentence);
        return Err(failure.next(format!("taken at once are: {}", list(&packages))));
    }
    Ok(packages)
}
