//! Tokens: opaque, random, shown once, hashed at rest.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pinion_core::audit::Act;
use pinion_core::name::{PinSetName, TokenName};
use pinion_core::state::Actor;
use pinion_core::time::Timestamp;

use super::{Controller, Draft, Identity, Refusal};
use crate::random::{Random, bytes};
use crate::store::records::{Role, TokenRecord, encode};
use crate::store::{Condition, Key, keys};

/// What every secret begins with, so that scanners find leaked ones.
const PREFIX: &str = "pinion_";
/// The longest lifetime of a token: ten years.
const LIFETIME_MAX: Duration = Duration::from_secs(3650 * 86_400);
/// The name of the token that the first start makes.
const FIRST_ADMIN: &str = "first-admin";

/// A request for a new token.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its name.
    pub name: TokenName,
    /// What it may do.
    pub role: Role,
    /// The only pin set it is good for.
    pub pin_set: Option<PinSetName>,
    /// How long it works; none: until it is revoked.
    pub lifetime: Option<Duration>,
}

/// Who the caller is.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The token's name, or the environment's id.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The only pin set it is good for.
    pub pin_set: Option<PinSetName>,
}

/// A new secret: 256 random bits.
pub(super) fn new_secret(random: &dyn Random) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes::<32>(random)))
}

impl Controller {
    /// Who a secret belongs to.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`] if nobody, or no longer.
    pub fn identify(&self, secret: Option<&str>) -> Result<Identity, Refusal> {
        let secret = secret.ok_or(Refusal::Unauthenticated("the request carries no token"))?;
        self.identify_token(&keys::token(secret))
    }

    /// Who the token of a key belongs to: for a session, which keeps no secret.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`] if nobody, or no longer.
    pub fn identify_token(&self, key: &Key) -> Result<Identity, Refusal> {
        let snapshot = self.snapshot();
        let token = snapshot.token(key).ok_or(Refusal::Unauthenticated(
            "the token is unknown or was revoked",
        ))?;
        let record = &token.record;
        let now = self.clock.now();
        if record.expires_at.is_some_and(|expires| now >= expires) {
            return Err(Refusal::Unauthenticated("the token has expired"));
        }
        if record.name.is_some() {
            self.note_use(key.clone(), now);
        }
        let actor = match (&record.name, &record.environment) {
            (Some(name), _) => name.to_string(),
            (None, Some(environment)) => environment.to_string(),
            (None, None) => "nobody".to_owned(),
        };
        Ok(Identity {
            actor: Actor::Token(actor),
            role: record.role,
            pin_set: record.pin_set.clone(),
            environment: record.environment.clone(),
        })
    }

    fn note_use(&self, key: Key, now: Timestamp) {
        if let Ok(mut uses) = self.last_uses.lock() {
            uses.insert(key, now);
        }
    }

    /// When a token was last used, since the server started.
    pub fn last_use(&self, key: &Key) -> Option<Timestamp> {
        self.last_uses.lock().ok()?.get(key).copied()
    }

    /// Makes the first admin token if there is no token at all, and returns its secret.
    ///
    /// # Errors
    /// If the store cannot keep it.
    pub async fn first_admin(&self) -> Result<Option<String>, Refusal> {
        if self.snapshot().tokens().next().is_some() {
            return Ok(None);
        }
        let name: TokenName = FIRST_ADMIN
            .parse()
            .expect("the first admin's name is a token name");
        let new = NewToken {
            name,
            role: Role::Admin,
            pin_set: None,
            lifetime: None,
        };
        match self.make_token(new, &Actor::Controller).await {
            Ok((_, secret)) => Ok(Some(secret)),
            // Another server that starts at the same moment was faster.
            Err(Refusal::Raced | Refusal::Exists { .. }) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Makes another admin token, for whoever has access to the machine and has lost the last one.
    ///
    /// # Errors
    /// If the store cannot keep it.
    pub async fn another_admin(&self) -> Result<String, Refusal> {
        let name = format!("admin-{}", hex::encode(bytes::<4>(self.random.as_ref())));
        let name: TokenName = name
            .parse()
            .map_err(|error| Refusal::invalid("name", error))?;
        let new = NewToken {
            name,
            role: Role::Admin,
            pin_set: None,
            lifetime: None,
        };
        Ok(self.make_token(new, &Actor::Controller).await?.1)
    }

    /// Makes a token; the secret is returned here and never again.
    ///
    /// # Errors
    /// If the caller is no admin, the name is taken, or the lifetime is out of range.
    pub async fn create_token(
        &self,
        caller: &Identity,
        new: NewToken,
    ) -> Result<(TokenRecord, String), Refusal> {
        caller.require(&[Role::Admin])?;
        self.make_token(new, &caller.actor).await
    }

    async fn make_token(
        &self,
        new: NewToken,
        actor: &Actor,
    ) -> Result<(TokenRecord, String), Refusal> {
        if new
            .lifetime
            .is_some_and(|lifetime| lifetime.is_zero() || lifetime > LIFETIME_MAX)
        {
            return Err(Refusal::invalid(
                "lifetime",
                "give more than nothing and at most 3650 d",
            ));
        }
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        if let Some(pin_set) = &new.pin_set
            && snapshot.pin_set(pin_set).is_none()
        {
            return Err(Refusal::no_pin_set(pin_set));
        }
        if snapshot
            .tokens()
            .any(|(_, token)| token.record.name.as_ref() == Some(&new.name))
        {
            return Err(Refusal::Exists {
                kind: "token",
                name: new.name.to_string(),
            });
        }
        let now = self.clock.now();
        let secret = new_secret(self.random.as_ref());
        let record = TokenRecord {
            name: Some(new.name.clone()),
            role: new.role,
            pin_set: new.pin_set,
            environment: None,
            created_at: now,
            expires_at: new.lifetime.map(|lifetime| now.plus(lifetime)),
        };
        let key = keys::token(&secret);
        let mut draft = Draft::default();
        draft.create(keys::token_name(&new.name), encode(&key.as_str()));
        draft.create(key, encode(&record));
        let act = Act::TokenCreated {
            name: new.name,
            role: record.role.as_str().to_owned(),
            pin_set: record.pin_set.clone(),
            expires_at: record.expires_at,
        };
        self.put_audit(&mut draft, actor, act, "").await?;
        self.commit(draft).await?;
        Ok((record, secret))
    }

    /// The tokens that were made by hand, by name.
    ///
    /// # Errors
    /// If the caller is no admin.
    pub fn list_tokens(
        &self,
        caller: &Identity,
    ) -> Result<Vec<(TokenRecord, Option<Timestamp>)>, Refusal> {
        caller.require(&[Role::Admin])?;
        let snapshot = self.snapshot();
        let mut tokens: Vec<_> = snapshot
            .tokens()
            .filter(|(_, token)| token.record.name.is_some())
            .map(|(key, token)| (TokenRecord::clone(&token.record), self.last_use(key)))
            .collect();
        tokens.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        Ok(tokens)
    }

    /// Makes a token useless from now on.
    ///
    /// # Errors
    /// If the caller is no admin, or there is no such token, or it is the last admin's.
    pub async fn revoke_token(
        &self,
        caller: &Identity,
        name: &TokenName,
    ) -> Result<TokenRecord, Refusal> {
        caller.require(&[Role::Admin])?;
        let _lock = self.lock().await;
        let snapshot = self.snapshot();
        let (key, token) = snapshot
            .tokens()
            .find(|(_, token)| token.record.name.as_ref() == Some(name))
            .ok_or_else(|| Refusal::NotFound {
                kind: "token",
                name: name.to_string(),
                hint: "`pinion token list` shows those there are",
            })?;
        let admins = snapshot
            .tokens()
            .filter(|(_, token)| token.record.role == Role::Admin)
            .count();
        if token.record.role == Role::Admin && admins == 1 {
            return Err(Refusal::Precondition {
                code: "LAST_ADMIN",
                cause: format!("`{name}` is the only admin token"),
                hint: "create another one first".to_owned(),
            });
        }
        let mut draft = Draft::default();
        draft.require(Condition::Modified(key.clone(), token.modified));
        draft.delete(key.clone());
        draft.delete(keys::token_name(name));
        let act = Act::TokenRevoked {
            name: name.clone(),
            role: token.record.role.as_str().to_owned(),
        };
        self.put_audit(&mut draft, &caller.actor, act, "").await?;
        self.commit(draft).await?;
        Ok(TokenRecord::clone(&token.record))
    }
}
