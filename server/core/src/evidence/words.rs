//! Evidence in words, the same in every place in which people read it.

use super::HarmBounds;
use crate::reason::points;

impl HarmBounds {
    /// Where the average harm lies.
    pub fn in_words(&self) -> String {
        match (self.lower > -1.0, self.upper < 1.0) {
            (true, true) => format!("between {} and {}", points(self.lower), points(self.upper)),
            (true, false) => format!("{} or more; no size is excluded", points(self.lower)),
            (false, true) => format!("none shown; up to {} is not excluded", points(self.upper)),
            (false, false) => "none shown; no size is excluded yet".to_owned(),
        }
    }

    /// What it takes until everybody gets the candidate.
    pub fn for_everybody(&self) -> String {
        let margin = points(self.margin);
        match self.is_clear() {
            true => format!("harm of {margin} or more is excluded, so it may go past 50 %"),
            false => format!("harm of {margin} or more must be excluded before everybody gets it"),
        }
    }
}

/// Where the average harm lies, also where that is not known.
pub fn harm_in_words(harm: Option<&HarmBounds>) -> String {
    harm.map_or_else(|| "not known yet".to_owned(), HarmBounds::in_words)
}

/// What a target of the detectors is about, by its name: `install` is "install failures", `on linux` "failures on linux".
pub fn failures_of(target: &str) -> String {
    match target {
        "any" => "failures of any kind".to_owned(),
        // Other targets than categories are several words.
        _ if target.contains(' ') => format!(
            "failures {}",
            target.replacen("looks like", "that look like", 1)
        ),
        category => format!("{category} failures"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harm_is_told_by_what_is_excluded() {
        let bounds = |lower, upper| HarmBounds {
            lower,
            upper,
            margin: 0.05,
        };
        assert_eq!(
            bounds(0.01, 0.04).in_words(),
            "between 1 point and 4 points"
        );
        assert_eq!(
            bounds(-1.0, 0.2).in_words(),
            "none shown; up to 20 points is not excluded"
        );
        assert_eq!(harm_in_words(None), "not known yet");
        assert!(bounds(-1.0, 0.04).for_everybody().contains("is excluded"));
        assert!(
            bounds(-1.0, 0.06)
                .for_everybody()
                .contains("must be excluded")
        );
    }

    #[test]
    fn failures_are_named_by_what_they_have_in_common() {
        assert_eq!(failures_of("any"), "failures of any kind");
        assert_eq!(failures_of("install"), "install failures");
        assert_eq!(failures_of("on linux"), "failures on linux");
    }
}
