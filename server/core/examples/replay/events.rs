//! Detector E.

use std::collections::BTreeMap;

use pinion_core::draw::{Draw, Share};
use pinion_core::event_bet::{EventBet, FailureEvent};
use pinion_core::evidence::Ordinal;
use pinion_core::mixture::Target;
use pinion_core::outcome::Fingerprint;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{BetConfig, Machine, failure, name, parse, told, unknown};

/// Detector E, with the records' names of environments and looks.
pub(super) struct Events {
    pub(super) bet: EventBet,
    environments: BTreeMap<String, Ordinal>,
    looks: BTreeMap<String, Fingerprint>,
}

#[derive(Deserialize)]
pub(super) struct EventInputs {
    env: String,
    u: f64,
    o: usize,
    p: f64,
    kappa: [f64; 5],
    #[serde(default)]
    platform: Option<String>,
    #[serde(default)]
    partners: Vec<String>,
    #[serde(default)]
    fingerprint: Option<String>,
}

#[derive(Deserialize)]
struct ShareInputs {
    pi: f64,
}

impl Events {
    pub(super) fn new(config: &BetConfig) -> Self {
        Self {
            bet: EventBet::new(config.alpha, &config.platforms()),
            environments: BTreeMap::new(),
            looks: BTreeMap::new(),
        }
    }

    /// Takes in a failure at a share; tells whether its label was bet on.
    pub(super) fn event(&mut self, share: f64, inputs: &EventInputs) -> Result<bool, String> {
        let category = failure(inputs.o)?.ok_or("an event is a failure, and `o` is 0")?;
        let partners: Vec<&str> = inputs.partners.iter().map(String::as_str).collect();
        let look = inputs.fingerprint.as_ref().map(|name| {
            let next = self.looks.len() as u64;
            *self.looks.entry(name.clone()).or_insert(Fingerprint(next))
        });
        let next = u32::try_from(self.environments.len()).map_err(|error| error.to_string())?;
        let ordinal = *self
            .environments
            .entry(inputs.env.clone())
            .or_insert(Ordinal(next));
        Ok(self.bet.event(&FailureEvent {
            ordinal,
            draw: Draw::clamped(inputs.u),
            share: Share::clamped(share),
            category,
            rate: inputs.p,
            categories: &inputs.kappa,
            platform: inputs.platform.as_deref(),
            partners: &partners,
            new_fingerprint: look,
        }))
    }

    pub(super) fn name(&self, target: &Target) -> Vec<String> {
        let Target::Fingerprint(look) = target else {
            return name(target);
        };
        let known = self.looks.iter().find(|(_, known)| *known == look);
        vec![
            "fp".to_owned(),
            known.map(|(name, _)| name.clone()).unwrap_or_default(),
        ]
    }
}

impl Machine for Events {
    fn apply(&mut self, operation: &str, inputs: Value) -> Result<Value, String> {
        let bet = match operation {
            "event" => {
                let ShareInputs { pi } = parse(inputs.clone())?;
                Some(self.event(pi, &parse(inputs)?)?)
            }
            "rebase" => {
                let ShareInputs { pi } = parse(inputs)?;
                self.bet.rebase(Share::clamped(pi));
                None
            }
            "restart" => {
                self.bet.restart();
                None
            }
            "masses" => {
                return Ok(told(&self.bet.masses(), &self.bet.blame(), |target| {
                    self.name(target)
                }));
            }
            _ => return Err(unknown(operation)),
        };
        Ok(json!({ "bet": bet, "log_e": self.bet.log_e(), "fires": self.bet.fires() }))
    }
}
