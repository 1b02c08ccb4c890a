//! A headless Chromium of its own, driven by its driver, both ended by this process.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, MutexGuard};
use url::{ParseError, Url};

/// How long a page may take to become as it should.
const PATIENCE: Duration = Duration::from_secs(15);
/// Two browsers at a time slow each other down.
static TURN: Mutex<()> = Mutex::const_new(());

pub(crate) struct Browser {
    pub(crate) client: Client,
    port: u16,
    session: String,
    driver: Child,
    _profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// A command of Chromium's driver that no standard has.
#[derive(Debug)]
struct Own(&'static str, Value);

impl WebDriverCompatibleCommand for Own {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.0
        ))
    }

    fn method_and_body(&self, _: &Url) -> (::http::Method, Option<String>) {
        (::http::Method::POST, Some(self.1.to_string()))
    }
}

impl Browser {
    /// Nothing where this machine has no Chromium with its driver, and their absence is allowed.
    pub(crate) async fn find() -> Option<Self> {
        let turn = TURN.lock().await;
        match Self::start(turn).await {
            Ok(browser) => Some(browser),
            Err(missing) if std::env::var_os("PINION_REQUIRE_PARTS").is_some() => {
                panic!("chromium and chromedriver are required: {missing}")
            }
            Err(missing) => {
                eprintln!("skipped: chromium and chromedriver are needed: {missing}");
                None
            }
        }
    }

    async fn start(turn: MutexGuard<'static, ()>) -> Result<Self, String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("chromedriver: {error}"))?;
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.map_err(|error| words(&error))?;
            let line = line.ok_or("chromedriver ended before it was ready")?;
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').parse::<u16>().unwrap();
            }
        };
        // What it still says must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-proxy-server",
            "--hide-scrollbars",
            "--window-size=1200,900",
        ];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let capabilities = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().unwrap().clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .map_err(|error| format!("chromium: {error}"))?;
        let session = client.session_id().await.unwrap().unwrap();
        Ok(Self {
            client,
            port,
            session,
            driver,
            _profile: profile,
            _turn: turn,
        })
    }

    /// Gives the page a width in CSS pixels and a colour scheme, `light` or `dark`.
    pub(crate) async fn dress(&self, width: u32, scheme: &str) {
        let metrics =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        let media = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]});
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let own = Own(
            "goog/cdp/execute",
            json!({ "cmd": command, "params": parameters }),
        );
        self.client.issue_cmd(own).await.unwrap()
    }

    /// Keeps a picture of the whole page in the folder that `PINION_SCREENSHOTS` names, if it names one.
    pub(crate) async fn keep(&self, name: &str) {
        let whole = json!({ "captureBeyondViewport": true });
        self.keep_picture(name, whole).await;
    }

    /// The same of the page's top, so high, for the README.
    pub(crate) async fn keep_top(&self, name: &str, width: u32, height: u32) {
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        self.keep_picture(name, json!({ "clip": clip })).await;
    }

    async fn keep_picture(&self, name: &str, how: Value) {
        let Some(folder) = std::env::var_os("PINION_SCREENSHOTS").map(PathBuf::from) else {
            return;
        };
        std::fs::create_dir_all(&folder).unwrap();
        let taken = self.devtools("Page.captureScreenshot", how).await;
        let picture = STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }

    pub(crate) async fn go(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// What a script gives.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    pub(crate) async fn text(&self, selector: &str) -> String {
        let found = self.client.find(Locator::Css(selector)).await;
        found.unwrap().text().await.unwrap()
    }

    pub(crate) async fn click(&self, selector: &str) {
        let found = self.client.find(Locator::Css(selector)).await.unwrap();
        found.click().await.unwrap();
    }

    /// Waits until a script gives true.
    pub(crate) async fn until(&self, script: &str) {
        let waited = tokio::time::Instant::now();
        while self.run(script).await != json!(true) {
            assert!(
                waited.elapsed() < PATIENCE,
                "this did not become true: {script}\n{}",
                self.text("body").await
            );
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }

    /// Waits until the words stand in an element.
    pub(crate) async fn until_says(&self, selector: &str, words: &str) {
        let (selector, words) = (json!(selector), json!(words));
        self.until(&format!(
            "const found = document.querySelector({selector}); return !!found && found.innerText.includes({words})"
        ))
        .await;
    }

    /// Signs in on the form.
    pub(crate) async fn sign_in(&self, url: &str, token: &str) {
        self.client.delete_all_cookies().await.unwrap();
        self.go(&format!("{url}/sign-in")).await;
        let field = self.client.find(Locator::Id("token")).await.unwrap();
        field.send_keys(token).await.unwrap();
        self.click(".sign-in button").await;
        self.until("return location.pathname === '/'").await;
    }

    /// Fails if anything was written to the console that is an error; what the page refuses to load is one.
    pub(crate) async fn check_console(&self) {
        let log = self
            .client
            .issue_cmd(Own("se/log", json!({ "type": "browser" })));
        let log = log.await.unwrap();
        let entries = log.as_array().unwrap().iter();
        let errors: Vec<_> = entries
            .filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING")
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}

impl Drop for Browser {
    /// Ends the browser by its driver, also where a test has failed, and then the driver.
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
            let request = format!(
                "DELETE /session/{} HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close\r\n\r\n",
                self.session, self.port
            );
            // Its end is waited for at most that long; the driver is ended in any case.
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = stream.write_all(request.as_bytes());
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let _ = self.driver.start_kill();
    }
}
