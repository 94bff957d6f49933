//! The signatures of tokens, by the cryptography that everything else here uses too.
//!
//! `jsonwebtoken` leaves them to a provider. Its own bring a second cryptography, one of them with an RSA that has an open
//! advisory (RUSTSEC-2023-0071).

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error as JwtError, ErrorKind},
    signature::{Error, Signer, Verifier},
};
use ring::{
    hmac,
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair, UnparsedPublicKey},
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| signer(*algorithm, key),
    verifier_factory: |algorithm, key| verifier(*algorithm, key),
    // Nobody here makes a JWK of a key.
    key_utils: KeyUtils::new_unimplemented(),
};

fn signer(algorithm: Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, JwtError> {
    fits(key.family(), algorithm)?;
    Ok(Box::new(RingSigner {
        algorithm,
        key: key.clone(),
    }))
}

fn verifier(algorithm: Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, JwtError> {
    fits(key.family(), algorithm)?;
    Ok(Box::new(RingVerifier {
        algorithm,
        key: key.clone(),
    }))
}

fn fits(family: AlgorithmFamily, algorithm: Algorithm) -> Result<(), JwtError> {
    if family == algorithm.family() {
        Ok(())
    } else {
        Err(ErrorKind::InvalidKeyFormat.into())
    }
}

/// To be called before a token is read or written; again does nothing.
pub fn install() {
    // Another one is this one.
    let _ = PROVIDER.install_default();
}

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

struct RingSigner {
    algorithm: Algorithm,
    key: EncodingKey,
}

/// What ring calls an algorithm.
enum Known {
    Hmac(hmac::Algorithm),
    Rsa(
        &'static signature::RsaParameters,
        &'static dyn signature::RsaEncoding,
    ),
    Ecdsa(
        &'static signature::EcdsaVerificationAlgorithm,
        &'static signature::EcdsaSigningAlgorithm,
    ),
    Ed25519,
}

fn known(algorithm: Algorithm) -> Result<Known, Error> {
    Ok(match algorithm {
        Algorithm::HS256 => Known::Hmac(hmac::HMAC_SHA256),
        Algorithm::HS384 => Known::Hmac(hmac::HMAC_SHA384),
        Algorithm::HS512 => Known::Hmac(hmac::HMAC_SHA512),
        Algorithm::RS256 => Known::Rsa(
            &signature::RSA_PKCS1_2048_8192_SHA256,
            &signature::RSA_PKCS1_SHA256,
        ),
        Algorithm::RS384 => Known::Rsa(
            &signature::RSA_PKCS1_2048_8192_SHA384,
            &signature::RSA_PKCS1_SHA384,
        ),
        Algorithm::RS512 => Known::Rsa(
            &signature::RSA_PKCS1_2048_8192_SHA512,
            &signature::RSA_PKCS1_SHA512,
        ),
        Algorithm::PS256 => Known::Rsa(&signature::RSA_PSS_2048_8192_SHA256, &signature::RSA_PSS_SHA256),
        Algorithm::PS384 => Known::Rsa(&signature::RSA_PSS_2048_8192_SHA384, &signature::RSA_PSS_SHA384),
        Algorithm::PS512 => Known::Rsa(&signature::RSA_PSS_2048_8192_SHA512, &signature::RSA_PSS_SHA512),
        Algorithm::ES256 => Known::Ecdsa(
            &signature::ECDSA_P256_SHA256_FIXED,
            &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        ),
        Algorithm::ES384 => Known::Ecdsa(
            &signature::ECDSA_P384_SHA384_FIXED,
            &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        ),
        Algorithm::EdDSA => Known::Ed25519,
        _ => return Err(Error::new()),
    })
}

impl RingVerifier {
    fn verify_by(
        &self,
        algorithm: &'static dyn signature::VerificationAlgorithm,
        message: &[u8],
        given: &[u8],
    ) -> Result<(), Error> {
        let key = self.key.try_get_as_bytes().map_err(of_key)?;
        let verified = UnparsedPublicKey::new(algorithm, key).verify(message, given);
        verified.map_err(|_| Error::new())
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], given: &Vec<u8>) -> Result<(), Error> {
        match known(self.algorithm)? {
            Known::Hmac(algorithm) => {
                let secret = self.key.try_get_as_bytes().map_err(of_key)?;
                let key = hmac::Key::new(algorithm, secret);
                hmac::verify(&key, message, given).map_err(|_| Error::new())
            }
            Known::Rsa(parameters, _) => match self.key.kind() {
                DecodingKeyKind::RsaModulusExponent { n, e } => PublicKeyComponents { n, e }
                    .verify(parameters, message, given)
                    .map_err(|_| Error::new()),
                DecodingKeyKind::SecretOrDer(_) => self.verify_by(parameters, message, given),
            },
            Known::Ecdsa(algorithm, _) => self.verify_by(algorithm, message, given),
            Known::Ed25519 => self.verify_by(&signature::ED25519, message, given),
        }
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let (key, random) = (self.key.as_bytes(), SystemRandom::new());
        let unusable = |_| Error::new();
        Ok(match known(self.algorithm)? {
            Known::Hmac(algorithm) => hmac::sign(&hmac::Key::new(algorithm, key), message)
                .as_ref()
                .to_vec(),
            Known::Rsa(_, encoding) => {
                let pair = RsaKeyPair::from_der(key).map_err(unusable)?;
                let mut signed = vec![0; pair.public().modulus_len()];
                pair.sign(encoding, &random, message, &mut signed)
                    .map_err(|_| Error::new())?;
                signed
            }
            Known::Ecdsa(_, algorithm) => {
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, key, &random).map_err(unusable)?;
                let signed = pair.sign(&random, message).map_err(|_| Error::new())?;
                signed.as_ref().to_vec()
            }
            Known::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).map_err(unusable)?;
                pair.sign(message).as_ref().to_vec()
            }
        })
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

fn of_key(error: JwtError) -> Error {
    Error::from_source(error)
}
