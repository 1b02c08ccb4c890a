//! What an identity token says of a person, and what that person may do here.

use pinion_core::name::{Approver, PinSetName};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Error, OidcConfig};
use crate::store::records::Role;

/// What stands before a person's name in decisions; names of tokens cannot have it.
const PREFIX: &str = "oidc:";

/// Somebody who has signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// In decisions, such as `oidc:alice@example.org`.
    pub actor: String,
    /// What they may do.
    pub role: Role,
    /// The only pin set for which.
    pub pin_set: Option<PinSetName>,
}

/// The claims of an identity token that are looked at.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Claims {
    sub: String,
    nonce: Option<String>,
    azp: Option<String>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl Claims {
    /// Fails unless the token was made for this attempt and for this server.
    pub(super) fn check(&self, nonce: &str, client_id: &str) -> Result<(), Error> {
        if self.nonce.as_deref() != Some(nonce) {
            return Err(Error::Token("it was made for another sign-in".to_owned()));
        }
        match &self.azp {
            Some(azp) if azp != client_id => {
                Err(Error::Token("it was made for another client".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Whether it leaves out what is looked for, which the provider may tell elsewhere.
    pub(super) fn lack(&self, config: &OidcConfig) -> bool {
        let has_name = self.other.contains_key(&config.name_claim) || config.name_claim == "sub";
        !has_name || self.found(&config.groups_claim).is_none()
    }

    /// Takes in what the provider told of the same person; what the token has holds.
    pub(super) fn complete(&mut self, told: Self) -> Result<(), Error> {
        if told.sub != self.sub {
            return Err(Error::Token(
                "the account is that of another person".to_owned(),
            ));
        }
        let (own, other) = (self.other.get("email"), told.other.get("email"));
        // That one address is verified says nothing of another one.
        if own.is_some() && other.is_some() && own != other {
            return Err(Error::Token(
                "the account has another address than the token".to_owned(),
            ));
        }
        for (claim, value) in told.other {
            self.other.entry(claim).or_insert(value);
        }
        Ok(())
    }

    /// Who it is and what they may do.
    pub(super) fn person(&self, config: &OidcConfig) -> Result<Person, Error> {
        let name = self.name(config)?;
        let groups = self.groups(&config.groups_claim);
        let rule = config
            .roles
            .iter()
            .find(|rule| rule.group == "*" || groups.iter().any(|group| **group == rule.group));
        let Some(rule) = rule else {
            return Err(Error::NotAdmitted(format!(
                "you are `{name}`, and none of your groups may use this dashboard; ask who runs this server"
            )));
        };
        Ok(Person {
            actor: format!("{PREFIX}{name}"),
            role: rule.role,
            pin_set: rule.pin_set.clone(),
        })
    }

    fn name(&self, config: &OidcConfig) -> Result<String, Error> {
        let claim = &config.name_claim;
        let name = match claim.as_str() {
            "sub" => Some(self.sub.as_str()),
            claim => self.other.get(claim).and_then(Value::as_str),
        };
        let Some(name) = name else {
            return Err(Error::Token(format!("it has no claim `{claim}`")));
        };
        // What may be named as an approver is a name.
        if format!("{PREFIX}{name}").parse::<Approver>().is_err() {
            return Err(Error::Token(format!(
                "its claim `{claim}` is no name of 1 to 200 plain characters"
            )));
        }
        if claim != "email" {
            return Ok(name.to_owned());
        }
        // Whoever may write any address into their profile would be anybody.
        if self.other.get("email_verified") != Some(&Value::Bool(true)) {
            return Err(Error::NotAdmitted(format!(
                "the identity provider has not verified that `{name}` is your address"
            )));
        }
        // One person with two spellings would have two votes.
        let name = name.to_ascii_lowercase();
        let domain = name.rsplit_once('@').map(|(_, domain)| domain);
        let is_of = |known: &String| domain.is_some_and(|own| known.eq_ignore_ascii_case(own));
        match config.domains.is_empty() || config.domains.iter().any(is_of) {
            true => Ok(name),
            false => Err(Error::NotAdmitted(format!(
                "addresses such as `{name}` are not let in here"
            ))),
        }
    }

    /// The groups in a claim: one, or several.
    fn groups(&self, claim: &str) -> Vec<&str> {
        match self.found(claim) {
            Some(Value::String(group)) => vec![group],
            Some(Value::Array(groups)) => groups.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// A claim, or what lies in an object under a name with dots.
    fn found(&self, claim: &str) -> Option<&Value> {
        self.other.get(claim).or_else(|| {
            let (first, rest) = claim.split_once('.')?;
            let first = self.other.get(first)?;
            rest.split('.')
                .try_fold(first, |place, part| place.get(part))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(more: &str) -> OidcConfig {
        let text = format!(
            "issuer = \"https://id.example.org\"\nclient_id = \"pinion\"\n{more}\n[[role]]\ngroup = \"release\"\nrole = \"release-manager\"\n\
             [[role]]\ngroup = \"nova\"\nrole = \"viewer\"\npin_set = \"nova\"\n"
        );
        toml::from_str(&text).expect("a configuration")
    }

    fn claims(mut value: Value) -> Claims {
        if value.get("sub").is_none() {
            value["sub"] = json!("1");
        }
        serde_json::from_value(value).expect("claims")
    }

    #[test]
    fn the_first_rule_that_matches_says_what_a_person_may_do() {
        let person = |groups: Value| {
            let claims =
                json!({ "email": "Alice@Example.org", "email_verified": true, "groups": groups });
            self::claims(claims).person(&config(""))
        };
        let manager = person(json!(["nova", "release"])).expect("a person");
        assert_eq!(manager.actor, "oidc:alice@example.org");
        assert_eq!(
            (manager.role, manager.pin_set),
            (Role::ReleaseManager, None)
        );
        let viewer = person(json!("nova")).expect("a person");
        assert_eq!(viewer.pin_set.expect("one").as_str(), "nova");
        for none in [
            json!([]),
            json!(["other"]),
            json!({ "nova": true }),
            json!(null),
        ] {
            assert!(matches!(person(none), Err(Error::NotAdmitted(_))));
        }
    }

    #[test]
    fn an_address_counts_when_it_is_verified_and_of_a_domain_that_is_let_in() {
        let config = config("domains = [\"example.org\"]");
        let person = |email: &str, verified: Value| {
            claims(json!({ "email": email, "email_verified": verified, "groups": ["nova"] }))
                .person(&config)
        };
        assert!(person("alice@example.org", json!(true)).is_ok());
        for (email, verified) in [
            ("alice@example.org", json!(false)),
            ("alice@example.org", json!("true")),
            ("alice@example.org", json!(null)),
            ("alice@evil-example.org", json!(true)),
            ("alice@example.org@evil.org", json!(true)),
            ("alice", json!(true)),
            ("ali ce@example.org", json!(true)),
            ("<b>@example.org", json!(true)),
            ("", json!(true)),
        ] {
            assert!(person(email, verified).is_err(), "{email}");
        }
    }

    #[test]
    fn groups_may_lie_in_an_object_and_names_in_another_claim() {
        let config = config("groups_claim = \"realm_access.roles\"\nname_claim = \"sub\"");
        let told = claims(json!({ "sub": "A-1", "realm_access": { "roles": ["nova"] } }));
        assert_eq!(told.person(&config).expect("a person").actor, "oidc:A-1");
    }

    #[test]
    fn what_a_token_leaves_out_is_taken_from_the_same_persons_account_alone() {
        let mut token = claims(json!({ "sub": "1", "email": "a@example.org" }));
        assert!(token.lack(&config("")));
        let other = claims(json!({ "sub": "2", "groups": ["release"] }));
        assert!(token.complete(other).is_err());
        let told =
            |email| json!({ "sub": "1", "email": email, "email_verified": true, "groups": "nova" });
        assert!(token.complete(claims(told("b@example.org"))).is_err());
        let told = claims(told("a@example.org"));
        token.complete(told).expect("the same person");
        assert!(!token.lack(&config("")));
        let person = token.person(&config("")).expect("a person");
        assert_eq!(person.actor, "oidc:a@example.org");
    }

    #[test]
    fn a_token_is_for_one_sign_in_and_one_client() {
        let told = |value| claims(value).check("n", "pinion");
        assert!(told(json!({ "nonce": "n" })).is_ok());
        assert!(told(json!({ "nonce": "n", "azp": "pinion" })).is_ok());
        for wrong in [
            json!({}),
            json!({ "nonce": "m" }),
            json!({ "nonce": "n", "azp": "other" }),
        ] {
            assert!(told(wrong).is_err());
        }
    }
}
