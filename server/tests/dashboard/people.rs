//! People who sign in with an identity provider: a real one in a real browser, and one that makes faults.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use fantoccini::Locator;
use pinion_server::config::{Config, PublicUrl};
use pinion_server::oidc::OidcConfig;
use serde_json::json;
use tempfile::tempdir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::browser::Browser;
use crate::stand_in::{SECRET, StandIn};
use crate::support::{SET, Server};
use crate::web::{Answer, Visitor};

fn config(dir: &Path, issuer: &str, public_url: &str) -> Config {
    let secret = dir.join("oidc.secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let oidc: OidcConfig = serde_json::from_value(json!({
        "name": "Example", "issuer": issuer, "client_id": "pinion", "client_secret_file": secret,
        "role": [{ "group": "release", "role": "release-manager" }, { "group": "set", "role": "viewer", "pin_set": SET }],
    }))
    .unwrap();
    Config {
        public_url: Some(PublicUrl::try_from(public_url.to_owned()).unwrap()),
        oidc: Some(oidc),
        ..Config::default()
    }
}

async fn server(dir: &Path, issuer: &str) -> Server {
    let config = config(dir, issuer, "http://127.0.0.1:1");
    Server::start_configured(&dir.join("data"), "requests==1.0\n", config, None, false).await
}

/// A browser that was sent to the provider, and where.
async fn sent(server: &Server) -> (Visitor, String) {
    let mut visitor = Visitor::new(server.app.address);
    let answer = visitor.get("/sign-in/oidc?next=%2Frollouts").await;
    assert_eq!(answer.status, 303, "{answer:?}");
    let cookie = answer.header("set-cookie");
    assert!(cookie.contains("HttpOnly; SameSite=Lax"), "{cookie}");
    visitor.cookie = cookie.split(';').next().unwrap().to_owned();
    (visitor, answer.header("location").to_owned())
}

/// Signs in; the provider says what it was told to.
async fn sign_in(server: &Server, provider: &StandIn) -> (Visitor, Answer) {
    let (mut visitor, url) = sent(server).await;
    let answer = visitor.get(&provider.let_in(&url)).await;
    if answer.status == 200 {
        let cookie = answer.header("set-cookie");
        assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
        visitor.cookie = cookie.split(';').next().unwrap().to_owned();
    }
    (visitor, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_from_the_provider_acts_by_their_name_and_in_their_role() {
    let (dir, provider) = (tempdir().unwrap(), StandIn::start().await);
    let server = server(dir.path(), &provider.issuer).await;
    let page = Visitor::new(server.app.address).get("/sign-in").await;
    assert!(page.body.contains("Sign in with Example"), "{}", page.body);
    let (alice, answer) = sign_in(&server, &provider).await;
    assert_eq!(answer.header("refresh"), "0; url=/rollouts");
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    let page = alice.get(&format!("/rollouts/{id}")).await;
    let form = [("csrf", page.field("csrf")), ("expected_revision", "0")];
    let path = format!("/rollouts/{id}/abort");
    assert_eq!(alice.post(&path, &form, "").await.status, 303);
    let last = server.decisions(&id).await.pop().unwrap();
    assert_eq!(
        (last.action.as_str(), last.actor.as_str()),
        ("abort", "oidc:alice@example.org")
    );
    let form = [("csrf", page.field("csrf"))];
    assert_eq!(alice.post("/sign-out", &form, "").await.status, 303);
    assert_eq!(alice.get("/rollouts").await.status, 303);

    provider.say(json!({ "email": "bob@example.org", "groups": "set" }));
    let (bob, _) = sign_in(&server, &provider).await;
    let page = bob.get(&format!("/rollouts/{id}")).await;
    assert!(
        page.body.contains("oidc:bob@example.org, viewer"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("/abort\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_does_not_prove_who_it_is_lets_nobody_in() {
    let (dir, provider) = (tempdir().unwrap(), StandIn::start().await);
    let server = server(dir.path(), &provider.issuer).await;
    let long_ago = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        - 3600;
    let soon = long_ago + 7200;
    for (changes, said) in [
        (json!({ "nonce": "another" }), "another sign-in"),
        (json!({ "nonce": null }), "another sign-in"),
        (json!({ "exp": long_ago }), "ExpiredSignature"),
        (json!({ "exp": null }), "exp"),
        (json!({ "nbf": soon }), "ImmatureSignature"),
        (json!({ "aud": "someone-else" }), "InvalidAudience"),
        (json!({ "aud": null }), "aud"),
        (json!({ "azp": "someone-else" }), "another client"),
        (json!({ "iss": "https://evil.example" }), "InvalidIssuer"),
        (json!({ "email_verified": false }), "not verified"),
        (json!({ "groups": ["strangers"] }), "none of your groups"),
    ] {
        provider.say(changes.clone());
        let (_, answer) = sign_in(&server, &provider).await;
        assert_eq!(answer.status, 403, "{changes}");
        assert!(answer.body.contains(said), "{changes}: {}", answer.body);
        assert_eq!(answer.header("set-cookie"), "", "{changes}");
    }
    provider.say(json!({}));
    for header in [
        json!({ "alg": "none" }),
        json!({ "alg": "HS256", "kid": "one" }),
        json!({ "alg": "RS256", "kid": "one" }),
        json!({ "alg": "ES256", "kid": "unknown" }),
    ] {
        provider.head(Some(header.clone()));
        let (_, answer) = sign_in(&server, &provider).await;
        assert_eq!(answer.status, 403, "{header}: {}", answer.body);
    }
    provider.head(None);
    assert_eq!(sign_in(&server, &provider).await.1.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_ends_once_and_in_the_browser_that_began_it() {
    let (dir, provider) = (tempdir().unwrap(), StandIn::start().await);
    let server = server(dir.path(), &provider.issuer).await;
    let (visitor, url) = sent(&server).await;
    let back = provider.let_in(&url);
    let thief = Visitor::new(server.app.address);
    let answer = thief.get(&back).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.body.contains("not begun in this browser"),
        "{}",
        answer.body
    );
    let (other, _) = sent(&server).await;
    assert_eq!(other.get(&back).await.status, 400);
    assert_eq!(visitor.get(&back).await.status, 200);
    assert_eq!(visitor.get(&back).await.status, 400, "a second time");
    for path in ["?code=x", "?state=x&code=x", ""] {
        let path = format!("/sign-in/oidc/callback{path}");
        assert_eq!(visitor.get(&path).await.status, 400);
    }

    let (visitor, url) = sent(&server).await;
    let back = provider.let_in(&url);
    let answer = visitor
        .get(&format!("{back}&iss=https%3A%2F%2Fevil.example"))
        .await;
    assert_eq!(answer.status, 403, "{}", answer.body);
    let (visitor, url) = sent(&server).await;
    let denied = provider
        .let_in(&url)
        .replace("code=", "error=access_denied&was=");
    let answer = visitor.get(&denied).await;
    assert!(answer.body.contains("access_denied"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_may_exchange_its_keys_and_be_away() {
    let (dir, provider) = (tempdir().unwrap(), StandIn::start().await);
    let server = server(dir.path(), &provider.issuer).await;
    assert_eq!(sign_in(&server, &provider).await.1.status, 200);
    provider.exchange_key("two");
    assert_eq!(sign_in(&server, &provider).await.1.status, 200);
    // Another key under a name that is known is no exchange, but a forgery.
    provider.exchange_key("two");
    assert_eq!(sign_in(&server, &provider).await.1.status, 403);

    let (other, nobody) = (tempdir().unwrap(), "http://127.0.0.1:1");
    let server = self::server(other.path(), nobody).await;
    let answer = Visitor::new(server.app.address).get("/sign-in/oidc").await;
    assert_eq!(answer.status, 502);
    assert!(
        answer.body.contains("could not be asked"),
        "{}",
        answer.body
    );
    assert!(
        answer.body.contains("name=\"token\""),
        "a token works still"
    );
    Visitor::signed_in(server.app.address, &server.manager).await;
}

/// A real provider; nothing where it is not there and need not be.
async fn real_provider(redirect: &str) -> Option<(Child, String)> {
    let Some(module) = std::env::var_os("PINION_OIDC_PROVIDER").map(PathBuf::from) else {
        assert!(
            std::env::var_os("PINION_REQUIRE_PARTS").is_none(),
            "npm's oidc-provider is required: PINION_OIDC_PROVIDER names no file"
        );
        eprintln!("skipped: PINION_OIDC_PROVIDER names no lib/index.js of npm's oidc-provider");
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dashboard/provider.mjs");
    let mut child = Command::new("node")
        .args([&script, &module])
        .arg(redirect)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("node");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let issuer = loop {
        let line = lines.next_line().await.unwrap().expect("an issuer");
        if line.starts_with("http://") {
            break line;
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Some((child, issuer))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_at_a_real_provider_in_a_real_browser() {
    // The provider has to know the port before the server listens there.
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let url = format!("http://127.0.0.1:{port}");
    let callback = format!("{url}/sign-in/oidc/callback");
    let Some((_child, issuer)) = real_provider(&callback).await else {
        return;
    };
    let Some(browser) = Browser::find().await else {
        return;
    };
    let dir = tempdir().unwrap();
    let mut config = config(dir.path(), &issuer, &url);
    config.listen.set_port(port);
    let server = Server::start_configured(
        &dir.path().join("data"),
        "requests==1.0\n",
        config,
        None,
        false,
    )
    .await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    for (name, expected) in [
        (
            "mallory@example.org",
            "none of your groups may use this dashboard",
        ),
        (
            "alice@example.org",
            "oidc:alice@example.org, release-manager",
        ),
    ] {
        browser.client.delete_all_cookies().await.unwrap();
        browser.go(&format!("{url}/rollouts/{id}")).await;
        browser.keep("sign-in-provider").await;
        browser.click("#oidc").await;
        browser
            .until("return !!document.querySelector('input[name=login]')")
            .await;
        let field = browser.client.find(Locator::Css("input[name=login]")).await;
        field.unwrap().send_keys(name).await.unwrap();
        let field = browser
            .client
            .find(Locator::Css("input[name=password]"))
            .await;
        field.unwrap().send_keys("any").await.unwrap();
        browser.click("button[type=submit]").await;
        browser
            .until("return location.port !== '' && document.body.innerText.includes('Continue')")
            .await;
        browser.click("button[type=submit]").await;
        browser.until_says("body", expected).await;
        let may_stop = browser
            .run("return !!document.querySelector('#act-abort')")
            .await;
        assert_eq!(may_stop, json!(name.starts_with("alice")));
        // The provider forgets whom it knows.
        browser.go(&issuer).await;
        browser.client.delete_all_cookies().await.unwrap();
    }
}
