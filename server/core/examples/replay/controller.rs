//! A whole rollout by the default policy, with one day an epoch after the pilot.

use pinion_core::clearance::Clearance;
use pinion_core::decide::{WATCHES_MAX, is_watched};
use pinion_core::draw::Share;
use pinion_core::path::{self, Step};
use pinion_core::policy::Policy;
use pinion_core::prediction::STRATA;
use pinion_core::window_bet::{EpochRates, WindowBet};
use serde::Deserialize;
use serde_json::{Value, json};

use super::epochs::{Gate, GateConfig, cells};
use super::events::Events;
use super::{BetConfig, Machine, name, parse, reveal, unknown};

/// The statistics of one rollout and where on the path it is.
pub(super) struct Controller {
    policy: Policy,
    population: u32,
    variance: f64,
    windows: WindowBet,
    events: Events,
    clearance: Clearance,
    rho: f64,
    place: Option<(Step, Share)>,
    watched: u32,
    ended: Option<(&'static str, Value)>,
}

#[derive(Deserialize)]
struct BeginInputs {
    pi: f64,
    a: [f64; STRATA],
    kappa: [f64; 5],
}

#[derive(Deserialize)]
struct EndInputs {
    #[serde(default)]
    m: Option<[f64; STRATA]>,
    #[serde(default)]
    cells: Vec<(usize, f64, u8, u64)>,
}

#[derive(Deserialize)]
pub(super) struct Config {
    #[serde(flatten)]
    gate: GateConfig,
    #[serde(flatten)]
    bets: BetConfig,
}

impl Controller {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            policy: Policy::default(),
            population: config.gate.n_total,
            variance: config.gate.v,
            windows: WindowBet::new(config.bets.alpha, &config.bets.platforms()),
            events: Events::new(&config.bets),
            clearance: Gate::new(&config.gate).0,
            rho: 0.0,
            place: None,
            watched: 0,
            ended: None,
        }
    }

    fn next(&self) -> Option<(Step, Share)> {
        let clear = self.clearance.is_clear();
        path::next(
            &self.policy,
            self.population,
            self.variance,
            self.place,
            clear,
        )
    }

    fn share(&self) -> Share {
        self.place.map_or(Share::ZERO, |(_, share)| share)
    }

    fn begin_epoch(&mut self, inputs: &BeginInputs) {
        let share = Share::clamped(inputs.pi);
        self.rho = share.raise_from(self.share());
        // The records name the share; which step of the path that is, the path says.
        let step = match self.next() {
            Some((step @ Step::Pilot(_), _)) => step,
            _ if share == Share::ONE => Step::Full,
            _ => Step::Stage,
        };
        self.place = Some((step, share));
        if self.rho < 1.0 {
            self.windows.start_epoch(EpochRates {
                rho: self.rho,
                rates: inputs.a,
                categories: inputs.kappa,
            });
        } else {
            // Where everybody is exposed no label is left to bet on.
            self.windows.end_epoch();
        }
    }

    /// Whether it has ended; the first detector to fire ends it.
    fn check(&mut self) -> &'static str {
        if self.ended.is_none() {
            let fired = if self.windows.fires() {
                Some(("W", name(&self.windows.blame())))
            } else if self.events.bet.fires() {
                Some(("E", self.events.name(&self.events.bet.blame())))
            } else {
                None
            };
            self.ended = fired.map(|(detector, target)| {
                let blame: Vec<String> = [vec![detector.to_owned()], target].concat();
                ("rollback", json!(blame))
            });
        }
        self.ended.as_ref().map_or("running", |(state, _)| state)
    }

    fn end_epoch(&mut self, inputs: &EndInputs) -> (&'static str, Value) {
        if self.check() == "rollback" {
            return self.decide();
        }
        match (self.place, inputs.m) {
            (Some((Step::Full, _)), _) => {
                self.ended = Some(("complete", Value::Null));
                return ("complete", Value::Null);
            }
            (Some((Step::Stage, _)), Some(rates)) => {
                self.clearance
                    .settle(self.rho, &rates, &cells(&inputs.cells));
            }
            _ => {}
        }
        self.decide()
    }

    fn decide(&mut self) -> (&'static str, Value) {
        self.check();
        if let Some((state @ "rollback", argument)) = &self.ended {
            return (state, argument.clone());
        }
        let next = self.next();
        let in_pilot = matches!(next, Some((Step::Pilot(_), _)));
        if !in_pilot && is_watched(self.events.bet.log_e()) && self.watched < WATCHES_MAX {
            self.watched += 1;
            return ("watch", Value::Null);
        }
        if !in_pilot {
            self.watched = 0;
        }
        match next {
            Some((_, share)) => ("promote", json!(share.value())),
            None => ("inconclusive", Value::Null),
        }
    }
}

impl Machine for Controller {
    fn apply(&mut self, operation: &str, inputs: Value) -> Result<Value, String> {
        match operation {
            "first" => {
                let first = self.next().map(|(_, share)| share.value());
                Ok(json!({ "value": first }))
            }
            "begin_epoch" => {
                self.begin_epoch(&parse(inputs)?);
                Ok(json!({ "rho": self.rho }))
            }
            "reveal" => {
                reveal(&mut self.windows, &parse(inputs)?)?;
                Ok(json!({ "state": self.check(), "w": self.windows.log_e() }))
            }
            "event" => {
                self.events.event(self.share().value(), &parse(inputs)?)?;
                Ok(json!({ "state": self.check(), "e": self.events.bet.log_e() }))
            }
            "end_epoch" | "next" => {
                let (decision, argument) = match operation {
                    "next" => self.decide(),
                    _ => self.end_epoch(&parse(inputs)?),
                };
                Ok(json!({
                    "decision": decision,
                    "argument": argument,
                    "upper": self.clearance.upper(),
                    "lower": self.clearance.lower(),
                    "w": self.windows.log_e(),
                    "e": self.events.bet.log_e(),
                }))
            }
            _ => Err(unknown(operation)),
        }
    }
}
