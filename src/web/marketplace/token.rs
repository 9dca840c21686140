//! The tokens of front ends: a JWT (HS256) of one hour that names a company.

use crate::config::Secret;
use crate::telemetry;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use signature::{Signer, Verifier};
use std::sync::Once;
use std::time::Duration;

/// How long a token is valid.
pub(in crate::web) const VALID: Duration = Duration::from_hours(1);

/// What a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::web) struct Claims {
    /// `wa.company.company_id`.
    pub(in crate::web) company_id: i64,
    /// `wa.company.salon_id`.
    pub(in crate::web) salon_id: i64,
    /// When it was made, in seconds since 1970.
    pub(in crate::web) iat: i64,
    /// When it expires, in seconds since 1970.
    pub(in crate::web) exp: i64,
}

/// The token is not valid: not signed by this secret, expired, or not of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid, or has expired")]
pub(in crate::web) struct InvalidToken;

/// Makes and reads tokens.
#[derive(Clone)]
pub(in crate::web) struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// With this secret.
    pub(in crate::web) fn new(secret: &Secret) -> Self {
        static PROVIDER: CryptoProvider = CryptoProvider {
            signer_factory: signer,
            verifier_factory: verifier,
            key_utils: KeyUtils::new_unimplemented(),
        };
        static INSTALLED: Once = Once::new();
        // Fails when there is one already, which then is this one: nothing else here uses the crate.
        INSTALLED.call_once(|| {
            let _ = PROVIDER.install_default();
        });
        let secret = secret.expose().as_bytes();
        Self { encoding: EncodingKey::from_secret(secret), decoding: DecodingKey::from_secret(secret) }
    }

    /// A token for this company, valid from now on.
    ///
    /// # Errors
    /// [`InvalidToken`], which does not happen with a secret that is not empty.
    pub(in crate::web) fn create(&self, company_id: i64, salon_id: i64) -> Result<String, InvalidToken> {
        self.create_at(company_id, salon_id, telemetry::wall_clock().timestamp())
    }

    fn create_at(&self, company_id: i64, salon_id: i64, iat: i64) -> Result<String, InvalidToken> {
        let exp = iat.saturating_add_unsigned(VALID.as_secs());
        let claims = Claims { company_id, salon_id, iat, exp };
        encode(&Header::new(Algorithm::HS256), &claims, &self.encoding).map_err(|_| InvalidToken)
    }

    /// What a token says, if it is valid now.
    ///
    /// # Errors
    /// [`InvalidToken`].
    pub(in crate::web) fn verify(&self, token: &str) -> Result<Claims, InvalidToken> {
        let mut accepted = Validation::new(Algorithm::HS256);
        accepted.leeway = 0;
        // The time is the injected one.
        accepted.validate_exp = false;
        accepted.set_required_spec_claims(&["exp"]);
        let claims = decode::<Claims>(token, &self.decoding, &accepted).map_err(|_| InvalidToken)?.claims;
        let now = telemetry::wall_clock().timestamp();
        let is_of_company = claims.company_id > 0 && claims.salon_id > 0;
        if is_of_company && claims.exp > now { Ok(claims) } else { Err(InvalidToken) }
    }
}

/// HMAC-SHA256, the one algorithm of these tokens.
struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(algorithm: Algorithm, key: &[u8]) -> Result<Self, Error> {
        if algorithm != Algorithm::HS256 {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        Hmac::new_from_slice(key).map(Self).map_err(|_| ErrorKind::InvalidKeyFormat.into())
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the type of a provider's functions")]
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Ok(Box::new(Hs256::new(*algorithm, key.as_bytes())?))
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the type of a provider's functions")]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    Ok(Box::new(Hs256::new(*algorithm, key.try_get_as_bytes()?)?))
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.0.clone().chain_update(message).finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    /// Takes the same time for every signature of a token's length.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.0.clone().chain_update(message).verify_slice(signature).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    fn tokens() -> Tokens {
        Tokens::new(&Secret::new("a secret of some length"))
    }

    #[test]
    fn h6_a_token_names_its_company_for_an_hour() {
        let token = tokens().create(7, 962_302).expect("a token");
        let claims = tokens().verify(&token).expect("valid");
        assert_eq!((claims.company_id, claims.salon_id, claims.exp - claims.iat), (7, 962_302, 3600));
        let now = telemetry::wall_clock().timestamp();
        let old = tokens().create_at(7, 962_302, now - 3600).expect("a token");
        assert_eq!(tokens().verify(&old), Err(InvalidToken));
        let other = Tokens::new(&Secret::new("another secret of some length"));
        assert_eq!(other.verify(&token), Err(InvalidToken));
    }

    /// Of RFC 7515's form, made by hand: header, claims and HMAC as jwt.io and the older systems' `jsonwebtoken` make them.
    #[test]
    fn h6_a_token_of_the_older_systems_is_read_and_one_without_a_signature_is_not() {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let now = telemetry::wall_clock().timestamp();
        let claims = format!(
            r#"{{"company_id":7,"salon_id":9,"type":"marketplace_registration","iat":{now},"exp":{}}}"#,
            now + 60
        );
        let signed = |header: &str, claims: &str| {
            let text = format!("{}.{}", encode(header), encode(claims));
            let mac = Hmac::<Sha256>::new_from_slice(b"a secret of some length").expect("a key");
            let mac = mac.chain_update(&text).finalize().into_bytes();
            format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac))
        };
        let token = signed(r#"{"alg":"HS256","typ":"JWT"}"#, &claims);
        assert_eq!(tokens().verify(&token).map(|claims| claims.salon_id), Ok(9));
        for hostile in [
            format!("{}.{}.", encode(r#"{"alg":"none","typ":"JWT"}"#), encode(&claims)),
            signed(r#"{"alg":"none"}"#, &claims),
            signed(r#"{"alg":"HS512"}"#, &claims),
            signed(r#"{"alg":"HS256"}"#, r#"{"company_id":7,"salon_id":9,"iat":1}"#),
            signed(r#"{"alg":"HS256"}"#, r#"{"company_id":7,"salon_id":9,"iat":1,"exp":"4102444800"}"#),
            signed(r#"{"alg":"HS256"}"#, &claims.replace(":7,", ":0,")),
            token.replace('.', ""),
            String::new(),
        ] {
            assert_eq!(tokens().verify(&hostile), Err(InvalidToken), "{hostile}");
        }
    }
}
