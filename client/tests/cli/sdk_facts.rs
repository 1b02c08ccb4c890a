//! Facts about the SDK, against a server that speaks the contract.

use std::time::Duration;

use pinion_client::{ConnectOptions, Error, Pins};
use tokio_stream::StreamExt as _;

use super::stub::{Mood, Stub};

#[tokio::test]
async fn a_connection_is_trusted_by_its_authority_and_by_no_other() {
    let (stub, authority) = Stub::start_secure();
    let trusting = ConnectOptions::new(stub.url())
        .token("secret")
        .ca_certificates(authority);
    let pins = Pins::get(&trusting.open().expect("opens"), None)
        .await
        .expect("trusted");
    assert_eq!(pins.expect("whole").pins[0].version, "1.0");

    let (other, _) = Stub::start_secure();
    let (_, stranger) = Stub::start_secure();
    let wary = ConnectOptions::new(other.url())
        .token("secret")
        .ca_certificates(stranger);
    let refused = Pins::get(&wary.open().expect("opens"), None)
        .await
        .expect_err("a stranger");
    assert!(
        matches!(&refused, Error::Unreachable { cause, .. } if cause.contains("certificate")),
        "{refused}"
    );
    assert!(
        other.heard(|heard| heard.authorizations.is_empty()),
        "no token went out"
    );
}

#[tokio::test]
async fn pins_are_watched_without_a_deadline() {
    let stub = Stub::start();
    let options = ConnectOptions::new(stub.url()).token("secret");
    let connection = options.open().expect("opens");
    let mut stream = Box::pin(Pins::watch(&connection, None).await.expect("answered"));
    let pins = stream.next().await.expect("sent").expect("pins");
    assert_eq!(pins.etag, "etag-1.0");
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_hanging_server_is_given_up_at_the_deadline() {
    let stub = Stub::start();
    stub.turn(Mood::Hanging);
    let options = ConnectOptions::new(stub.url()).deadline(Duration::from_millis(100));
    let connection = options.open().expect("opens");
    let begun = std::time::Instant::now();
    let error = Pins::get(&connection, None).await.expect_err("no answer");
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2));
}
