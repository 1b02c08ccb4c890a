//! Routes of the configuration, and what a server says of its notices.

use std::path::Path;
use std::time::Duration;

use pinion_proto::v1 as proto;
use pinion_proto::v1::notice_service_client::NoticeServiceClient;
use pinion_server::config::Config;
use pinion_server::notice::RouteConfig;

use crate::support::{Server, with_token};

/// The secret of the routes that [`webhook`] makes.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const PINS: &str = "requests==1.0\nsix==1.0\n";

/// A route of this configuration.
pub(crate) fn route(text: &str) -> RouteConfig {
    toml::from_str(text).unwrap()
}

/// A webhook to `url`, with its secret in `dir`; `more`: further keys.
pub(crate) fn webhook(dir: &Path, name: &str, url: &str, more: &str) -> RouteConfig {
    let secret = dir.join("webhook-secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    route(&format!(
        "name = '{name}'\nkind = 'webhook'\nurl = '{url}'\nsecret_file = '{}'\ntimeout_s = 2\n{more}",
        secret.display()
    ))
}

/// A server with these routes that decides when it is asked to.
pub(crate) async fn server(dir: &Path, routes: Vec<RouteConfig>) -> Server {
    let config = Config {
        routes,
        public_url: Some("https://pinion.example.org".to_owned().try_into().unwrap()),
        ..Config::default()
    };
    Server::start_configured(&dir.join("data"), PINS, config, None, true).await
}

/// What a release manager is told of notices, the newest first.
pub(crate) async fn listed(server: &Server, state: &str) -> Vec<proto::Notice> {
    let request = proto::ListNoticesRequest {
        state: state.to_owned(),
        ..Default::default()
    };
    let response = NoticeServiceClient::new(server.channel.clone())
        .list_notices(with_token(request, &server.manager))
        .await;
    response.unwrap().into_inner().notices
}

/// Waits until so many stand so.
pub(crate) async fn wait_until(server: &Server, state: &str, count: usize) -> Vec<proto::Notice> {
    for _ in 0..400 {
        let notices = listed(server, state).await;
        if notices.len() == count {
            return notices;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never {count} {state}: {:#?}", listed(server, "").await);
}
