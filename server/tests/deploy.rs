//! What stands in `deploy/` is what its readers take: Docker, Kubernetes, systemd, Prometheus, Grafana, the collector of
//! OpenTelemetry. They are asked themselves, or their own libraries are (`deploy/check`, a program in Go).
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[path = "deploy/compose.rs"]
mod compose;
#[path = "deploy/container.rs"]
mod container;
#[path = "deploy/kubernetes.rs"]
mod kubernetes;
#[path = "deploy/monitoring.rs"]
mod monitoring;
#[path = "deploy/parts.rs"]
mod parts;
#[path = "deploy/systemd.rs"]
mod systemd;
