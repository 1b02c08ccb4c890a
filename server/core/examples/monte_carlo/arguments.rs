//! What is asked for.

pub(crate) const USAGE: &str = "\
options, each with a value; lists are separated by commas:
  --fleet 50,500,5000,50000   environments
  --rate 0.15,0.05,0.3        mean chance of a bad day
  --world plain,unrest,noisy  quiet; drift and an outage; 1 % noisy senders
  --outcomes raw,repeated     failing runs count, or are repeated with the baseline first
  --epochs whole-days         stages follow the pilot at once, or begin with the next working day
  --harmless 2000             harmless rollouts of each
  --harmful 400               harmful rollouts of each
  --together 5,15             instead: blame among so many rollouts side by side
  --seed 1";

#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) fleets: Vec<u32>,
    pub(crate) rates: Vec<f64>,
    pub(crate) worlds: Vec<World>,
    /// Whether failures are repeated.
    pub(crate) repeats: Vec<bool>,
    pub(crate) whole_days: bool,
    pub(crate) harmless: u64,
    pub(crate) harmful: u64,
    pub(crate) together: Vec<u32>,
    pub(crate) seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum World {
    Plain,
    Unrest,
    Noisy,
}

impl World {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Unrest => "unrest",
            Self::Noisy => "noisy",
        }
    }
}

impl Arguments {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self {
            fleets: vec![50, 500, 5000, 50_000],
            rates: vec![0.15, 0.05, 0.3],
            worlds: vec![World::Plain, World::Unrest, World::Noisy],
            repeats: vec![false, true],
            whole_days: false,
            harmless: 2000,
            harmful: 400,
            together: Vec::new(),
            seed: 1,
        };
        while let Some(option) = words.next() {
            let value = words.next().ok_or(format!("`{option}` needs a value"))?;
            match option.as_str() {
                "--fleet" => arguments.fleets = list(&value, number)?,
                "--rate" => arguments.rates = list(&value, number)?,
                "--world" => arguments.worlds = list(&value, world)?,
                "--outcomes" => arguments.repeats = list(&value, outcomes)?,
                "--epochs" => arguments.whole_days = value == "whole-days",
                "--harmless" => arguments.harmless = number(&value)?,
                "--harmful" => arguments.harmful = number(&value)?,
                "--together" => arguments.together = list(&value, number)?,
                "--seed" => arguments.seed = number(&value)?,
                _ => return Err(format!("`{option}` is no option")),
            }
        }
        Ok(arguments)
    }
}

fn list<T>(text: &str, item: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(item).collect()
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

fn world(text: &str) -> Result<World, String> {
    [World::Plain, World::Unrest, World::Noisy]
        .into_iter()
        .find(|world| world.as_str() == text)
        .ok_or(format!("`{text}` is no world"))
}

fn outcomes(text: &str) -> Result<bool, String> {
    match text {
        "raw" => Ok(false),
        "repeated" => Ok(true),
        _ => Err(format!("`{text}` is neither raw nor repeated")),
    }
}
