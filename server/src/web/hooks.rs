//! What forges send when something has happened there. Nothing of it is believed but that: files are read and changes looked
//! at again, by the ways in which they always are.

use axum::body::{Body, HttpBody as _};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use hmac::{Hmac, Mac};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use pinion_core::name::ForgeName;
use sha2::{Digest, Sha256};

use super::Web;

/// The largest message, in bytes: what GitHub sends at most. It is not kept.
const MESSAGE_BYTES_MAX: usize = 25 * 1024 * 1024;

/// What shows that a message comes from the forge.
#[derive(Debug, PartialEq, Eq)]
enum Proof {
    /// HMAC-SHA-256 of the message under the secret: GitHub, Gitea, Forgejo.
    Signature(Vec<u8>),
    /// The secret itself: GitLab, and what can only be given an address with a password, such as Gerrit's plug-in.
    Secret(String),
}

pub(super) async fn hook(
    State(web): State<Web>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let nothing = || {
        let text = "no forge of this name takes messages; see `webhook_secret_file`\n";
        (StatusCode::NOT_FOUND, text).into_response()
    };
    let Ok(name) = name.parse::<ForgeName>() else {
        return nothing();
    };
    let secret = match web.controller.forges.webhook_secret(&name).await {
        Some(Ok(secret)) => secret,
        Some(Err(problem)) => {
            tracing::error!(forge = %name, problem, "a message of the forge cannot be checked");
            return (
                StatusCode::SERVICE_UNAVAILABLE,
                "the secret cannot be read\n",
            )
                .into_response();
        }
        None => return nothing(),
    };
    let Some(proof) = proof_of(&headers) else {
        let text = "sign the message, or send the secret; see `webhook_secret_file`\n";
        return (StatusCode::UNAUTHORIZED, text).into_response();
    };
    match is_proved(&proof, &secret, body).await {
        Ok(true) => {
            tracing::debug!(forge = %name, "the forge spoke");
            match web.controller.forge_spoke(&name).await {
                Ok(()) => StatusCode::NO_CONTENT.into_response(),
                Err(refusal) => super::refused(&refusal),
            }
        }
        Ok(false) => {
            tracing::warn!(forge = %name, "a message with a wrong signature was refused");
            (
                StatusCode::UNAUTHORIZED,
                "the signature or the secret is wrong\n",
            )
                .into_response()
        }
        Err(status) => status.into_response(),
    }
}

fn proof_of(headers: &HeaderMap) -> Option<Proof> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let signature = |hexadecimal: &str| hex::decode(hexadecimal).ok().map(Proof::Signature);
    if let Some(value) = text("x-hub-signature-256") {
        return signature(value.strip_prefix("sha256=")?);
    }
    if let Some(value) = text("x-forgejo-signature").or_else(|| text("x-gitea-signature")) {
        return signature(value);
    }
    if let Some(value) = text("x-gitlab-token") {
        return Some(Proof::Secret(value.to_owned()));
    }
    let value = text(AUTHORIZATION.as_str())?;
    if let Some(secret) = value.strip_prefix("Bearer ") {
        return Some(Proof::Secret(secret.to_owned()));
    }
    let pair = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (_, secret) = pair.split_once(':')?;
    Some(Proof::Secret(secret.to_owned()))
}

async fn is_proved(proof: &Proof, secret: &str, body: Body) -> Result<bool, StatusCode> {
    let signature = match proof {
        // Digests are compared, whose equal beginnings tell nothing of the secret.
        Proof::Secret(given) => {
            return Ok(Sha256::digest(given) == Sha256::digest(secret));
        }
        Proof::Signature(signature) => signature,
    };
    if body.size_hint().lower() > MESSAGE_BYTES_MAX as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let (mut parts, mut bytes) = (body.into_data_stream(), 0);
    while let Some(part) = parts.next().await {
        let part = part.map_err(|_| StatusCode::BAD_REQUEST)?;
        bytes += part.len();
        if bytes > MESSAGE_BYTES_MAX {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        mac.update(&part);
    }
    Ok(mac.verify_slice(signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a header"));
        headers
    }

    #[tokio::test]
    async fn the_signature_of_each_forge_is_understood() {
        // printf '{"a":1}' | openssl dgst -sha256 -hmac s3cret
        let computed = "5910e62016ef5034272c926c27071992a465c2335cecf41851bda071577f4f6d";
        for (name, value, is_right) in [
            ("x-hub-signature-256", format!("sha256={computed}"), true),
            (
                "x-hub-signature-256",
                format!("sha256=00{}", &computed[2..]),
                false,
            ),
            ("x-gitea-signature", computed.to_owned(), true),
            ("x-forgejo-signature", computed.to_owned(), true),
            ("x-gitlab-token", "s3cret".to_owned(), true),
            ("x-gitlab-token", "s3cre".to_owned(), false),
            ("authorization", "Bearer s3cret".to_owned(), true),
            (
                "authorization",
                format!("Basic {}", STANDARD.encode("gerrit:s3cret")),
                true,
            ),
            (
                "authorization",
                format!("Basic {}", STANDARD.encode("gerrit:x")),
                false,
            ),
        ] {
            let proof = proof_of(&headers(name, &value)).expect("a proof");
            let body = Body::from("{\"a\":1}");
            assert_eq!(
                is_proved(&proof, "s3cret", body).await,
                Ok(is_right),
                "{name} {value}"
            );
        }
    }

    #[test]
    fn what_proves_nothing_is_no_proof() {
        for (name, value) in [
            ("x-hub-signature-256", "sha1=00"),
            ("x-hub-signature-256", "sha256=zz"),
            ("x-hub-signature", "sha1=00"),
            ("authorization", "Digest x"),
        ] {
            assert_eq!(proof_of(&headers(name, value)), None, "{name} {value}");
        }
    }
}
