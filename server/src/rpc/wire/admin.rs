//! Tokens on the wire.

use pinion_core::time::Timestamp;
use pinion_proto::v1 as proto;

use super::{Unreadable, from_timestamp, name, optional, to_duration};
use crate::controller::NewToken;
use crate::store::records::{Role, TokenRecord};

pub(crate) fn to_token_request(request: proto::CreateTokenRequest) -> Result<NewToken, Unreadable> {
    let proto::CreateTokenRequest {
        name: text,
        role,
        pin_set,
        lifetime,
    } = request;
    Ok(NewToken {
        name: name("name", &text)?,
        role: to_role(role)?,
        pin_set: optional("pin_set", &pin_set)?,
        lifetime: lifetime
            .map(|lifetime| to_duration("lifetime", lifetime))
            .transpose()?,
    })
}

fn to_role(role: i32) -> Result<Role, Unreadable> {
    match proto::Role::try_from(role) {
        Ok(proto::Role::Environment) => Ok(Role::Environment),
        Ok(proto::Role::Ci) => Ok(Role::Ci),
        Ok(proto::Role::Viewer) => Ok(Role::Viewer),
        Ok(proto::Role::ReleaseManager) => Ok(Role::ReleaseManager),
        Ok(proto::Role::Admin) => Ok(Role::Admin),
        Ok(proto::Role::Unspecified) | Err(_) => Err(Unreadable::new(
            "role",
            "say which one: environment, ci, viewer, release-manager or admin",
        )),
    }
}

pub(crate) const fn from_role(role: Role) -> proto::Role {
    match role {
        Role::Environment => proto::Role::Environment,
        Role::Ci => proto::Role::Ci,
        Role::Viewer => proto::Role::Viewer,
        Role::ReleaseManager => proto::Role::ReleaseManager,
        Role::Admin => proto::Role::Admin,
    }
}

pub(crate) fn token(record: &TokenRecord, last_use: Option<Timestamp>) -> proto::Token {
    let TokenRecord {
        name,
        role,
        pin_set,
        environment: _,
        created_at,
        expires_at,
    } = record;
    proto::Token {
        name: name.as_ref().map(ToString::to_string).unwrap_or_default(),
        role: from_role(*role).into(),
        pin_set: pin_set
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        create_time: Some(from_timestamp(*created_at)),
        expire_time: expires_at.map(from_timestamp),
        last_use_time: last_use.map(from_timestamp),
    }
}
