//! Signatures of identity tokens, by ring. Tokens are read and never made.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature::{self as by_ring, RsaPublicKeyComponents, UnparsedPublicKey};
use signature::Verifier;

/// The algorithms whose signatures are taken: of a key pair, and none that is shared.
pub(super) const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: nothing_is_signed,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes signatures be checked here. A second call changes nothing.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

/// Whether a published key may have made a signature of this algorithm.
pub(super) fn is_for(key: &Jwk, algorithm: Algorithm) -> bool {
    let common = &key.common;
    let is_signing = common
        .public_key_use
        .as_ref()
        .is_none_or(|it| *it == PublicKeyUse::Signature);
    let is_same = common.key_algorithm.as_ref().is_none_or(|known| {
        // Both are named as the standard has it.
        known.to_string() == format!("{algorithm:?}") || *known == KeyAlgorithm::UNKNOWN_ALGORITHM
    });
    let is_family = DecodingKey::from_jwk(key).is_ok_and(|key| key.family() == algorithm.family());
    is_signing && is_same && is_family
}

struct Checked {
    algorithm: Algorithm,
    key: DecodingKey,
}

fn nothing_is_signed(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let is_taken = ALGORITHMS.contains(algorithm) && key.family() == algorithm.family();
    if !is_taken || algorithm.family() == AlgorithmFamily::Hmac {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(Checked {
        algorithm: *algorithm,
        key: key.clone(),
    }))
}

impl JwtVerifier for Checked {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Checked {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let rsa = |parameters| match self.key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            DecodingKeyKind::SecretOrDer(_) => Err(ring::error::Unspecified),
        };
        let other = |algorithm| match self.key.kind() {
            DecodingKeyKind::SecretOrDer(key) => {
                UnparsedPublicKey::new(algorithm, key).verify(message, signature)
            }
            DecodingKeyKind::RsaModulusExponent { .. } => Err(ring::error::Unspecified),
        };
        let verified = match self.algorithm {
            Algorithm::RS256 => rsa(&by_ring::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => rsa(&by_ring::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => rsa(&by_ring::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => rsa(&by_ring::RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => rsa(&by_ring::RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => rsa(&by_ring::RSA_PSS_2048_8192_SHA512),
            Algorithm::ES256 => {
                other(&by_ring::ECDSA_P256_SHA256_FIXED as &dyn by_ring::VerificationAlgorithm)
            }
            Algorithm::ES384 => other(&by_ring::ECDSA_P384_SHA384_FIXED),
            Algorithm::EdDSA => other(&by_ring::ED25519),
            _ => Err(ring::error::Unspecified),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use by_ring::KeyPair as _;
    use ring::rand::SystemRandom;
    use serde_json::json;

    use super::*;

    fn pair() -> by_ring::EcdsaKeyPair {
        let (algorithm, random) = (
            &by_ring::ECDSA_P256_SHA256_FIXED_SIGNING,
            SystemRandom::new(),
        );
        let document =
            by_ring::EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key pair");
        by_ring::EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random)
            .expect("a key pair")
    }

    fn published(pair: &by_ring::EcdsaKeyPair, more: serde_json::Value) -> Jwk {
        let point = pair.public_key().as_ref();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut key = json!({ "kty": "EC", "crv": "P-256", "x": part(&point[1..33]), "y": part(&point[33..]) });
        for (name, value) in more.as_object().expect("an object") {
            key[name] = value.clone();
        }
        serde_json::from_value(key).expect("a key")
    }

    #[test]
    fn a_key_is_for_the_algorithm_and_the_use_that_it_names() {
        let pair = pair();
        let key = |more| published(&pair, more);
        for fits in [
            json!({}),
            json!({ "alg": "ES256" }),
            json!({ "use": "sig" }),
        ] {
            assert!(is_for(&key(fits.clone()), Algorithm::ES256), "{fits}");
        }
        for wrong in [
            json!({ "alg": "ES384" }),
            json!({ "alg": "RS256" }),
            json!({ "use": "enc" }),
        ] {
            assert!(!is_for(&key(wrong.clone()), Algorithm::ES256), "{wrong}");
        }
        assert!(!is_for(&key(json!({})), Algorithm::RS256));
        assert!(!is_for(&key(json!({})), Algorithm::HS256));
    }

    #[test]
    fn a_signature_is_of_one_message_and_of_one_key() {
        let (own, other) = (pair(), pair());
        let signed = own.sign(&SystemRandom::new(), b"message").expect("signs");
        let signature = signed.as_ref().to_vec();
        let verifies = |pair: &by_ring::EcdsaKeyPair, message: &[u8]| {
            let key = DecodingKey::from_jwk(&published(pair, json!({}))).expect("a key");
            let checked = verifier(&Algorithm::ES256, &key).expect("a verifier");
            checked.verify(message, &signature).is_ok()
        };
        assert!(verifies(&own, b"message"));
        assert!(!verifies(&own, b"another") && !verifies(&other, b"message"));
        let key = DecodingKey::from_secret(b"secret");
        assert!(verifier(&Algorithm::HS256, &key).is_err());
        assert!(verifier(&Algorithm::ES256, &key).is_err());
    }
}
