//! Mail to a real SMTP server: aiosmtpd, with STARTTLS and a login.
//!
//! Skipped where python3 has no aiosmtpd, unless `PINION_REQUIRE_PARTS` is set; `PINION_SMTP_PYTHON` names a python3 that
//! has it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::tempdir;

use crate::route::{listed, route, server, wait_until};
use crate::support::HOUR;

/// Takes mail and prints each as a line of JSON. A recipient `full@` is refused for good, `greylisted@` once.
const SERVER: &str = r#"
import asyncio, json, ssl, sys
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

greylisted = set()

class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("full@"):
            return "550 5.1.1 no such person here"
        if address.startswith("greylisted@") and address not in greylisted:
            greylisted.add(address)
            return "451 4.7.1 greylisted, come again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = {
            "tls": session.ssl is not None,
            "login": session.auth_data.login.decode() if session.auth_data else None,
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "content": envelope.content.decode(),
        }
        print(json.dumps(mail), flush=True)
        return "250 taken"

def authenticate(server, session, envelope, mechanism, data):
    fine = data.login == b"pinion" and data.password == b"s3cr3tword"
    return AuthResult(success=fine, auth_data=data, handled=fine)

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
controller = Controller(
    Handler(), hostname="127.0.0.1", port=int(sys.argv[3]), tls_context=context, require_starttls=True,
    auth_required=True, authenticator=authenticate,
)
controller.start()
print("ready", flush=True)
sys.stdin.read()
"#;

/// The SMTP server.
struct Smtp {
    child: Child,
    port: u16,
    mails: Arc<Mutex<Vec<Value>>>,
}

impl Smtp {
    /// Nothing where this machine has no aiosmtpd, and its absence is allowed.
    fn start(dir: &Path) -> Option<Self> {
        let python = std::env::var("PINION_SMTP_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let has_it = Command::new(&python)
            .args(["-c", "import aiosmtpd"])
            .output();
        if !has_it.is_ok_and(|output| output.status.success()) {
            assert!(
                std::env::var_os("PINION_REQUIRE_PARTS").is_none(),
                "python3 with aiosmtpd is required"
            );
            eprintln!("skipped: python3 with aiosmtpd is needed");
            return None;
        }
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(dir.join("smtp.crt"), made.cert.pem()).unwrap();
        std::fs::write(dir.join("smtp.key"), made.signing_key.serialize_pem()).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut child = Command::new(python)
            .args(["-c", SERVER])
            .args([dir.join("smtp.crt"), dir.join("smtp.key")])
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        let mails = Arc::new(Mutex::new(Vec::new()));
        let taking = Arc::clone(&mails);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mail = serde_json::from_str(&line).unwrap();
                taking.lock().unwrap().push(mail);
            }
        });
        Some(Self { child, port, mails })
    }

    fn mails(&self) -> Vec<Value> {
        self.mails.lock().unwrap().clone()
    }

    /// A route to it, with this password.
    fn route(&self, dir: &Path, to: &str, password: &str) -> pinion_server::notice::RouteConfig {
        std::fs::write(dir.join("password"), password).unwrap();
        route(&format!(
            "name = 'mail'\nkind = 'mail'\nserver = 'localhost'\nport = {}\nuser = 'pinion'\n\
             password_file = '{}'\nca_file = '{}'\nfrom = 'Pinion <pinion@example.org>'\nto = {to}\n\
             events = ['rollout.aborted', 'rollout.created']\n",
            self.port,
            dir.join("password").display(),
            dir.join("smtp.crt").display()
        ))
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_by_starttls_with_a_login_and_says_that_a_program_wrote_it() {
    let dir = tempdir().unwrap();
    let Some(smtp) = Smtp::start(dir.path()) else {
        return;
    };
    let to = "['Ada <ada@example.org>', 'ops@example.org']";
    let mail = smtp.route(dir.path(), to, "s3cr3tword");
    let server = server(dir.path(), vec![mail]).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    server.abort(&id).await.unwrap();
    wait_until(&server, "sent", 2).await;
    let mails = smtp.mails();
    let (created, aborted) = (&mails[0], &mails[1]);
    assert_eq!(created["tls"], true);
    assert_eq!(created["login"], "pinion");
    assert_eq!(created["from"], "pinion@example.org");
    assert_eq!(
        created["to"],
        serde_json::json!(["ada@example.org", "ops@example.org"])
    );
    let content = aborted["content"].as_str().unwrap();
    let notice = &listed(&server, "sent").await[0];
    for line in [
        "From: Pinion <pinion@example.org>",
        "To: Ada <ada@example.org>, ops@example.org",
        "Subject: [pinion] Stopped: requests 1.0 -> 2.0 in set",
        "Date: Tue, 05 Mar 2024 10:00:00 +0000",
        "Auto-Submitted: auto-generated",
        "X-Pinion-Event: rollout.aborted",
        &format!("Message-ID: <{}@example.org>", notice.id),
        &format!("References: <{id}@example.org>"),
        "By: manager.",
        &format!("https://pinion.example.org/rollouts/{id}"),
    ] {
        assert!(
            content.lines().any(|one| one == line),
            "`{line}` is not in:\n{content}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_smtp_server_refuses_ends_and_what_it_puts_off_comes_again() {
    let dir = tempdir().unwrap();
    let Some(smtp) = Smtp::start(dir.path()) else {
        return;
    };
    let full = smtp.route(dir.path(), "['full@example.org']", "s3cr3tword");
    let server = server(dir.path(), vec![full]).await;
    let id = server.start_rollout("requests", "2.0").await.unwrap().id;
    let refused = wait_until(&server, "refused", 1).await;
    let answer = &refused[0].deliveries[0].last_answer;
    assert!(answer.contains("no such person here"), "{answer}");

    let later = smtp.route(dir.path(), "['greylisted@example.org']", "s3cr3tword");
    let server = server.restart_as(|config| pinion_server::config::Config {
        routes: vec![later],
        ..config
    });
    let server = server.await;
    server.abort(&id).await.unwrap();
    for _ in 0..200 {
        if !listed(&server, "sent").await.is_empty() {
            break;
        }
        server.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let sent = wait_until(&server, "sent", 1).await;
    assert_eq!(sent[0].deliveries[0].tries, 2);
    assert_eq!(smtp.mails().len(), 1);

    let wrong = smtp.route(dir.path(), "['ada@example.org']", "wr0ngword");
    let server = server.restart_as(|config| pinion_server::config::Config {
        routes: vec![wrong],
        ..config
    });
    let server = server.await;
    server.clock.advance(HOUR);
    server.start_rollout("six", "2.0").await.unwrap();
    let refused = wait_until(&server, "refused", 2).await;
    let answer = &refused[0].deliveries[0].last_answer;
    assert!(
        answer.contains("535") && !answer.contains("wr0ngword"),
        "{answer}"
    );
}
