//! The server as a process of its own, with a configuration file.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pinion_proto::v1 as proto;
use pinion_proto::v1::pin_set_service_client::PinSetServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::support::{SET, with_token};

/// The process; what it says is kept.
pub(crate) struct Process {
    child: Arc<Mutex<Child>>,
    pub(crate) channel: Channel,
    pub(crate) said: Arc<Mutex<String>>,
    said_all: Option<std::thread::JoinHandle<()>>,
}

impl Process {
    /// Starts it with the state in `dir/data` and these `[[notice]]` tables; `log`: as `RUST_LOG` has it.
    pub(crate) fn start(dir: &Path, notices: &str, log: &str) -> Self {
        let config = dir.join("pinion.toml");
        let text = format!(
            "listen = '127.0.0.1:0'\ndata_dir = '{}'\n{notices}",
            dir.join("data").display()
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_piniond"))
            .arg("--config")
            .arg(&config)
            .env("RUST_LOG", log)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = Arc::new(Mutex::new(String::new()));
        let note = |said: &Mutex<String>, line: &str| {
            let mut said = said.lock().unwrap();
            said.push_str(line);
            said.push('\n');
        };
        let address = loop {
            let line = lines.next().expect("piniond ended").unwrap();
            note(&said, &line);
            if let Some((_, address)) = line.split_once("listens on ") {
                break address.to_owned();
            }
        };
        let noting = Arc::clone(&said);
        let said_all = std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|line| note(&noting, &line));
        });
        let endpoint = Endpoint::from_shared(address).unwrap();
        Self {
            child: Arc::new(Mutex::new(child)),
            channel: endpoint.timeout(Duration::from_secs(10)).connect_lazy(),
            said,
            said_all: Some(said_all),
        }
    }

    /// What ends it at once, as `kill -9` does.
    pub(crate) fn killer(&self) -> Arc<dyn Fn() + Send + Sync> {
        let child = Arc::clone(&self.child);
        Arc::new(move || {
            // It may have ended already.
            let _ = child.lock().unwrap().kill();
        })
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_some()
    }

    /// The secret of its first admin token.
    pub(crate) fn admin(dir: &Path) -> String {
        let file: PathBuf = dir.join("data/first-admin-token");
        std::fs::read_to_string(file).unwrap().trim().to_owned()
    }

    /// Creates the pin set [`SET`] with these pins.
    pub(crate) async fn prepare(&self, admin: &str, pins: &str) {
        let mut sets = PinSetServiceClient::new(self.channel.clone());
        let create = proto::CreatePinSetRequest {
            name: SET.to_owned(),
            ecosystem: proto::Ecosystem::Pypi.into(),
            ..Default::default()
        };
        sets.create_pin_set(with_token(create, admin))
            .await
            .unwrap();
        let import = proto::ImportPinsRequest {
            name: SET.to_owned(),
            content: pins.to_owned(),
            ..Default::default()
        };
        sets.import_pins(with_token(import, admin)).await.unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        (self.killer())();
        self.child.lock().unwrap().wait().unwrap();
        if let Some(said_all) = self.said_all.take() {
            said_all.join().unwrap();
        }
    }
}
