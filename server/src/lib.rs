//! `piniond`: the staged rollout controller for dependencies.

pub mod app;
pub mod args;
pub mod clock;
pub mod config;
pub mod controller;
pub mod forge;
pub mod loops;
pub mod metrics;
pub mod rpc;
pub mod serve;
pub mod snapshot;
pub mod store;
pub mod telemetry;
pub mod web;
