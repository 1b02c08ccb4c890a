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
