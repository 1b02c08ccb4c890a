//! `piniond`: the staged rollout controller for dependencies.

pub mod store;
