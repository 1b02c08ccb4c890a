//! `piniond`: the staged rollout controller for dependencies.

pub mod app;
pub mod args;
pub mod backup;
pub mod clock;
pub mod config;
pub mod controller;
pub mod demo;
pub mod forge;
pub mod health;
pub mod index;
pub mod loops;
pub mod metrics;
pub mod notice;
pub mod oidc;
pub mod random;
pub mod rpc;
mod secret;
pub mod serve;
pub mod snapshot;
pub mod store;
pub mod telemetry;
pub mod web;
pub mod worker;

use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{Cli, Command, Serve};
use crate::config::Config;

/// Runs what the command line asks for.
pub fn run(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("piniond: no threads can be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        match cli.command {
            Some(Command::Demo(demo)) => ended(run_demo(&demo).await),
            Some(Command::AdminToken) => ended(make_admin_token(cli.serve).await),
            Some(Command::Backup(remote)) => ended(back_up(cli.serve, &remote).await),
            Some(Command::Export(remote)) => ended(export(cli.serve, &remote).await),
            Some(Command::Restore(local)) => ended(restore(cli.serve, &local.file).await),
            Some(Command::Import(local)) => ended(import(cli.serve, &local.file).await),
            Some(Command::Health) => ended(ask_health(cli.serve).await),
            None => ended(run_server(cli.serve).await),
        }
    })
}

fn ended(result: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    eprint!("piniond: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprint!(": {error}");
        cause = error.source();
    }
    eprintln!();
    ExitCode::FAILURE
}

async fn run_demo(demo: &args::Demo) -> Result<(), Box<dyn std::error::Error>> {
    let telemetry = telemetry::set_up(telemetry::LogFormat::Text, "error")?;
    let result = demo::run(demo).await;
    telemetry.shutdown();
    Ok(result?)
}

async fn run_server(serve: Serve) -> Result<(), Box<dyn std::error::Error>> {
    let config = configuration(serve)?;
    let mut telemetry = telemetry::set_up(config.log_format, "info")?;
    let world = app::World {
        exporter: telemetry.metrics.take(),
        ..app::World::default()
    };
    let app = app::App::start(&config, world).await?;
    // Whoever hears that it runs may ask it to stop at once.
    let asked = asked_to_stop()?;
    greet(&app, &config);
    tell_systemd(&Moment::Ready);
    let failed = app.store_failed();
    let cause = tokio::select! {
        () = asked => None,
        cause = failed => Some(cause),
    };
    tell_systemd(&Moment::Stopping);
    if cause.is_none() {
        tracing::info!("stopping: requests under way may end");
    }
    app.stop().await;
    telemetry.shutdown();
    match cause {
        None => Ok(()),
        Some(cause) => Err(format!(
            "the store has failed and the server has to be started again: {cause}"
        )
        .into()),
    }
}

fn configuration(serve: Serve) -> Result<Config, config::Error> {
    let Serve {
        config,
        listen,
        data_dir,
        allow_plaintext,
    } = serve;
    let mut merged = config
        .as_deref()
        .map_or_else(|| Ok(Config::default()), Config::read)?;
    merged.listen = listen.unwrap_or(merged.listen);
    merged.data_dir = data_dir.unwrap_or(merged.data_dir);
    merged.allow_plaintext |= allow_plaintext;
    merged.validate()?;
    Ok(merged)
}

/// Says where it runs and what to do next; a first admin token is shown here, once: on a terminal, or in a file.
fn greet(app: &app::App, config: &Config) {
    use std::io::IsTerminal;
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let token = app.first_admin.as_ref().map(|secret| {
        if std::io::stderr().is_terminal() {
            return format!("\nThe first admin token; it is not shown again:\n\n  {secret}\n");
        }
        match keep_first_admin(config, secret) {
            Ok(path) => format!("  the first admin token is in {}; remove the file once you have it", path.display()),
            Err(error) => format!("  the first admin token could not be written: {error}; `piniond admin-token` makes another"),
        }
    });
    eprintln!(
        "piniond {} listens on {scheme}://{}",
        Cli::command().get_version().unwrap_or_default(),
        app.address
    );
    eprintln!("  state: {}", config.store.place(&config.data_dir));
    if config.allow_plaintext && !app.address.ip().is_loopback() {
        eprintln!(
            "  WARNING: plain text on {}: tokens cross the network readable for everybody",
            app.address
        );
    }
    let Some(token) = token else { return };
    eprintln!(
        "{token}\nNext:\n  export PINION_SERVER={scheme}://{} PINION_TOKEN=<the token>",
        app.address
    );
    eprintln!(
        "  pinion token create me --role release-manager\n  pinion pin-set create mine --ecosystem pypi"
    );
}

/// Makes an admin token while the server is stopped: for whoever has lost the last one.
async fn make_admin_token(serve: Serve) -> Result<(), Box<dyn std::error::Error>> {
    let config = Config {
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: None,
        ..configuration(serve)?
    };
    let app = app::App::start(&config, app::World::default()).await?;
    let secret = match &app.first_admin {
        Some(secret) => Ok(secret.clone()),
        None => app.controller.another_admin().await,
    };
    app.stop().await;
    println!("{}", secret?);
    eprintln!("piniond: a new admin token; revoke those that are lost with `pinion token revoke`");
    Ok(())
}

async fn back_up(serve: Serve, remote: &args::Remote) -> Result<(), Box<dyn std::error::Error>> {
    let backup = backup::take(&configuration(serve)?, remote).await?;
    eprintln!(
        "piniond: {} entries, revision {}, in {}",
        backup.entries,
        backup.revision,
        remote.file.display()
    );
    Ok(())
}

/// Prints what the server of the same settings says of itself.
async fn ask_health(serve: Serve) -> Result<(), Box<dyn std::error::Error>> {
    let config = configuration(serve)?;
    print!(
        "{}",
        health::ask(config.listen, config.tls.is_some()).await?
    );
    Ok(())
}

async fn export(serve: Serve, remote: &args::Remote) -> Result<(), Box<dyn std::error::Error>> {
    let entries = backup::export(&configuration(serve)?, remote).await?;
    eprintln!("piniond: {entries} entries");
    Ok(())
}

async fn restore(serve: Serve, file: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    let restored = backup::restore(&configuration(serve)?, file).await?;
    greet_restored(&restored);
    Ok(())
}

async fn import(serve: Serve, file: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    let restored = backup::import(&configuration(serve)?, file).await?;
    greet_restored(&restored);
    Ok(())
}

fn greet_restored(restored: &store::backup::Backup) {
    eprintln!(
        "piniond: {} entries, revision {}, are restored; piniond can be started",
        restored.entries, restored.revision
    );
}
/// What systemd wants to know of a service with `Type=notify`.
enum Moment {
    Ready,
    Stopping,
}

/// Tells systemd, where it started this program.
#[cfg(target_os = "linux")]
fn tell_systemd(moment: &Moment) {
    let state = match moment {
        Moment::Ready => sd_notify::NotifyState::Ready,
        Moment::Stopping => sd_notify::NotifyState::Stopping,
    };
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

#[cfg(not(target_os = "linux"))]
fn tell_systemd(_: &Moment) {}

/// Where nobody watches, the first admin token goes to a file that only its owner can read.
fn keep_first_admin(config: &Config, secret: &str) -> std::io::Result<std::path::PathBuf> {
    use std::io::Write;
    let path = config.data_dir.join("first-admin-token");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    writeln!(options.open(&path)?, "{secret}")?;
    Ok(path)
}

/// Ends when this process is asked to end: from the call on, not only from when it is waited for.
#[cfg(unix)]
pub(crate) fn asked_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}

#[cfg(not(unix))]
pub(crate) fn asked_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        // It fails only where there is no console that could ask.
        let _ = tokio::signal::ctrl_c().await;
    })
}
