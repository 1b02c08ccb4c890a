//! Applies recorded operations to the statistics, one object per case.

use pinion_core::clearance;
use pinion_core::mixture::{Masses, Target};
use pinion_core::outcome::Category;
use pinion_core::path;
use pinion_core::policy::Policy;
use pinion_core::prediction::{self, STRATA};
use pinion_core::window_bet::{EpochRates, Reveal, WindowBet};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

mod controller;
mod epochs;
mod events;

/// The case again, with the `out` of each operation.
///
/// # Errors
/// What is missing or unknown.
pub(crate) fn replay(mut case: Value) -> Result<Value, String> {
    let kind = case["kind"].as_str().ok_or("`kind` is missing")?.to_owned();
    let mut machine = machine(&kind, case["config"].clone())?;
    let operations = case["ops"].as_array_mut().ok_or("`ops` is missing")?;
    for (number, operation) in operations.iter_mut().enumerate() {
        let fields = operation
            .as_object_mut()
            .ok_or("an operation is no object")?;
        fields.remove("out");
        let out =
            apply(&mut *machine, fields).map_err(|error| format!("operation {number}: {error}"))?;
        fields.insert("out".to_owned(), out);
    }
    Ok(case)
}

trait Machine {
    /// What is seen after the operation; `inputs` are its other fields.
    fn apply(&mut self, operation: &str, inputs: Value) -> Result<Value, String>;
}

fn apply(machine: &mut dyn Machine, fields: &Map<String, Value>) -> Result<Value, String> {
    let operation = fields
        .get("op")
        .and_then(Value::as_str)
        .ok_or("`op` is missing")?;
    machine.apply(operation, Value::Object(fields.clone()))
}

fn machine(kind: &str, config: Value) -> Result<Box<dyn Machine>, String> {
    Ok(match kind {
        "window" => Box::new(Window::new(&parse(config)?)),
        "event" => Box::new(events::Events::new(&parse(config)?)),
        "gate" => Box::new(epochs::Gate::new(&parse(config)?)),
        "guard" => Box::new(epochs::Guard::default()),
        "controller" => Box::new(controller::Controller::new(&parse(config)?)),
        "plan" => Box::new(Plan),
        _ => return Err(format!("the kind `{kind}` is unknown")),
    })
}

fn parse<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn unknown(operation: &str) -> String {
    format!("the operation `{operation}` is unknown")
}

/// The category of a failure, from its number in the records: 0 is a pass.
fn failure(o: usize) -> Result<Option<Category>, String> {
    match o.checked_sub(1) {
        None => Ok(None),
        Some(index) => match Category::from_index(index) {
            Some(category) => Ok(Some(category)),
            None => Err(format!("{o} is no category")),
        },
    }
}

#[derive(Deserialize)]
struct BetConfig {
    #[serde(default)]
    platforms: Vec<String>,
    alpha: f64,
}

impl BetConfig {
    fn platforms(&self) -> Vec<&str> {
        self.platforms.iter().map(String::as_str).collect()
    }
}

#[derive(Deserialize)]
struct RevealInputs {
    g: usize,
    o: usize,
    z: u8,
    #[serde(default)]
    platform: Option<String>,
    #[serde(default)]
    partners: Vec<String>,
    #[serde(default = "one")]
    count: u64,
}

fn one() -> u64 {
    1
}

fn reveal(bet: &mut WindowBet, inputs: &RevealInputs) -> Result<(), String> {
    let partners: Vec<&str> = inputs.partners.iter().map(String::as_str).collect();
    bet.reveal(Reveal {
        stratum: inputs.g,
        failure: failure(inputs.o)?,
        exposed: inputs.z == 1,
        platform: inputs.platform.as_deref(),
        partners: &partners,
        count: inputs.count,
    });
    Ok(())
}

struct Window(WindowBet);

impl Window {
    fn new(config: &BetConfig) -> Self {
        Self(WindowBet::new(config.alpha, &config.platforms()))
    }
}

#[derive(Deserialize)]
struct EpochInputs {
    rho: f64,
    a: [f64; STRATA],
    kappa: [f64; 5],
}

impl Machine for Window {
    fn apply(&mut self, operation: &str, inputs: Value) -> Result<Value, String> {
        match operation {
            "start_epoch" => {
                let EpochInputs { rho, a, kappa } = parse(inputs)?;
                self.0.start_epoch(EpochRates {
                    rho,
                    rates: a,
                    categories: kappa,
                });
            }
            "reveal" => reveal(&mut self.0, &parse(inputs)?)?,
            "close_early" => self.0.close_early(),
            "restart" => self.0.restart(),
            "masses" => {
                return Ok(told(&self.0.masses(), &self.0.blame(), name));
            }
            _ => return Err(unknown(operation)),
        }
        Ok(json!({
            "log_e": self.0.log_e(),
            "log_threshold": self.0.log_threshold(),
            "fires": self.0.fires(),
        }))
    }
}

/// Masses in the order of the targets' names, and the target that is blamed.
fn told(masses: &Masses, blamed: &Target, name: impl Fn(&Target) -> Vec<String>) -> Value {
    let mut masses: Vec<_> = masses
        .iter()
        .map(|(target, mass)| (name(target), mass))
        .collect();
    masses.sort_by(|(one, _), (other, _)| one.cmp(other));
    json!({ "masses": masses, "blame": name(blamed) })
}

/// The name of a target in the records.
fn name(target: &Target) -> Vec<String> {
    let (kind, which) = match target {
        Target::Any => return vec!["any".to_owned()],
        Target::Category(category) => ("cat", (category.index() + 1).to_string()),
        Target::Fingerprint(fingerprint) => ("fp", fingerprint.to_string()),
        Target::Pair(rollout) => ("pair", rollout.clone()),
        Target::Platform(platform) => ("plat", platform.clone()),
    };
    vec![kind.to_owned(), which]
}

/// The functions without state.
struct Plan;

#[derive(Deserialize)]
struct Arguments<T> {
    args: T,
}

fn arguments<T: DeserializeOwned>(inputs: Value) -> Result<T, String> {
    parse::<Arguments<T>>(inputs).map(|inputs| inputs.args)
}

impl Machine for Plan {
    fn apply(&mut self, operation: &str, inputs: Value) -> Result<Value, String> {
        let value = match operation {
            "pilot_size" => {
                let (population, variance) = arguments(inputs)?;
                json!(path::pilot_size(population, variance))
            }
            "final_margin" => {
                let (population, variance) = arguments(inputs)?;
                json!(clearance::margin(population, variance))
            }
            "next_share" => {
                let (share, clear) = arguments(inputs)?;
                json!(path::next_share(&Policy::default().stages, share, clear))
            }
            "next_pilot" => {
                let (population, share, step, size) = arguments(inputs)?;
                json!(path::next_pilot(population, share, step, size))
            }
            "stratum" => {
                let (failing_days,) = arguments(inputs)?;
                json!(prediction::stratum(failing_days))
            }
            "update_rate" => {
                let (rate, failed, reporting): (f64, u64, u64) = arguments(inputs)?;
                json!(prediction::blend(rate, failed, reporting))
            }
            "prior_rates" => {
                let (failing_days,) = arguments(inputs)?;
                let (rates, variance) = prediction::prior_rates(&failing_days);
                return Ok(json!({ "a": rates, "v": variance }));
            }
            _ => return Err(unknown(operation)),
        };
        Ok(json!({ "value": value }))
    }
}
