//! A browser without a script or a screen: requests by hand, over a connection each.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header, by its name in lower case; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines();
        let mut pairs = lines.filter_map(|line| line.split_once(": "));
        let found = pairs.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).unwrap_or_default()
    }

    /// What stands in a hidden field of a form.
    pub(crate) fn field(&self, name: &str) -> &str {
        let start = format!("name=\"{name}\" value=\"");
        let (_, rest) = self.body.split_once(&start).expect("the field");
        rest.split_once('"').unwrap().0
    }
}

/// Somebody with a cookie, or nobody.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    address: SocketAddr,
    pub(crate) cookie: String,
}

impl Visitor {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            cookie: String::new(),
        }
    }

    /// Somebody who is signed in with a token.
    pub(crate) async fn signed_in(address: SocketAddr, token: &str) -> Self {
        let mut visitor = Self::new(address);
        let answer = visitor.post("/sign-in", &[("token", token)], "").await;
        assert_eq!(answer.status, 303, "{answer:?}");
        let cookie = answer.header("set-cookie");
        visitor.cookie = cookie.split(';').next().unwrap().to_owned();
        visitor
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, "accept: text/html\r\n").await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &str) -> Answer {
        self.ask("GET", path, headers, "").await
    }

    /// Sends a form, with further header lines.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)], headers: &str) -> Answer {
        let quoted = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        };
        let body: Vec<String> = form
            .iter()
            .map(|(name, value)| format!("{name}={}", quoted(value)))
            .collect();
        let headers = format!("content-type: application/x-www-form-urlencoded\r\n{headers}");
        self.ask("POST", path, &headers, &body.join("&")).await
    }

    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let cookie = match self.cookie.as_str() {
            "" => String::new(),
            cookie => format!("cookie: {cookie}\r\n"),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{cookie}{headers}content-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }
}
