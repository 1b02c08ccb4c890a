//! What is settled or tested by the epoch: clearance, and the guard.

use pinion_core::clearance::{Cell, Clearance, margin};
use pinion_core::guard::AssignmentGuard;
use pinion_core::prediction::STRATA;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Machine, parse, unknown};

/// Clearance, which the records call the gate.
pub(super) struct Gate(pub(super) Clearance);

#[derive(Deserialize)]
pub(super) struct GateConfig {
    pub(super) n_total: u32,
    pub(super) v: f64,
    pub(super) beta: f64,
}

#[derive(Deserialize)]
struct SettleInputs {
    rho: f64,
    m: [f64; STRATA],
    cells: Vec<(usize, f64, u8, u64)>,
}

impl Gate {
    pub(super) fn new(config: &GateConfig) -> Self {
        let margin = margin(config.n_total, config.v);
        Self(Clearance::new(margin, config.v, config.beta))
    }
}

/// The records' cells: stratum, outcome, label, count.
pub(super) fn cells(cells: &[(usize, f64, u8, u64)]) -> Vec<Cell> {
    let cell = |(stratum, outcome, label, count): &(usize, f64, u8, u64)| Cell {
        stratum: *stratum,
        outcome: *outcome,
        exposed: *label == 1,
        count: *count,
    };
    cells.iter().map(cell).collect()
}

impl Machine for Gate {
    fn apply(&mut self, operation: &str, inputs: Value) -> Result<Value, String> {
        if operation != "settle" {
            return Err(unknown(operation));
        }
        let inputs: SettleInputs = parse(inputs)?;
        self.0.settle(inputs.rho, &inputs.m, &cells(&inputs.cells));
        Ok(json!({
            "upper": self.0.upper(),
            "lower": self.0.lower(),
            "open": self.0.is_clear(),
            "log_up": self.0.log_against_all(),
        }))
    }
}

/// The guard.
#[derive(Default)]
pub(super) struct Guard(AssignmentGuard);

#[derive(Deserialize)]
struct EpochInputs {
    rho: f64,
}

#[derive(Deserialize)]
struct LabelInputs {
    labels: Vec<u8>,
}

impl Machine for Guard {
    fn apply(&mut self, operation: &str, inputs: Value) -> Result<Value, String> {
        match operation {
            "start_epoch" => {
                let EpochInputs { rho } = parse(inputs)?;
                self.0.start_epoch(rho);
            }
            "labels" => {
                let LabelInputs { labels } = parse(inputs)?;
                for label in labels {
                    self.0.label(label == 1);
                }
            }
            "label" => {
                #[derive(Deserialize)]
                struct LabelInput {
                    z: u8,
                }
                let LabelInput { z } = parse(inputs)?;
                self.0.label(z == 1);
            }
            _ => return Err(unknown(operation)),
        }
        Ok(json!({ "log_e": self.0.log_e(), "fires": self.0.fires() }))
    }
}
