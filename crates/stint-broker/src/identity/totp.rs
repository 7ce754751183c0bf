//! One-time codes (RFC 6238: SHA-1, six digits, 30 s, one step of tolerance), each taken once.

use totp_rs::{Builder, Secret, Totp};

use crate::error::{Outcome, Problem};

/// A new secret in base32.
pub fn new_secret() -> String {
    Secret::generate().to_base32()
}

fn totp(secret: &str, issuer: &str, user: &str) -> Outcome<Totp> {
    let secret = Secret::try_from_base32(secret).map_err(|e| Problem::internal(format!("{e:?}")))?;
    Builder::new()
        .with_secret(secret)
        .with_account_name(user)
        .with_issuer(Some(issuer))
        .with_skew(1)
        .build()
        .map_err(|e| Problem::internal(format!("{e:?}")))
}

/// The secret as an `otpauth://` URL.
pub fn url(secret: &str, fleet: &str, user: &str) -> Outcome<String> {
    totp(secret, &issuer(fleet), user)?.to_url().map_err(|e| Problem::internal(format!("{e:?}")))
}

fn issuer(fleet: &str) -> String {
    format!("stint {fleet}")
}

/// The step that a code is of, if it is right and later than the last one that was taken.
pub fn step_of(secret: &str, code: &str, now: i64, last: i64) -> Outcome<Option<i64>> {
    let totp = totp(secret, "stint", "user")?;
    let six_digits = code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit());
    let step = if six_digits { totp.check(code, now.max(0).unsigned_abs()) } else { None };
    Ok(step.and_then(|s| i64::try_from(s).ok()).filter(|s| *s > last))
}

/// The code of an instant, as the user's device shows it.
pub fn code_at(secret: &str, now: i64) -> Outcome<String> {
    Ok(totp(secret, "stint", "user")?.generate(now.max(0).unsigned_abs()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_taken_once_and_not_after_a_later_one() {
        let secret = new_secret();
        let code = code_at(&secret, 1_000_000).unwrap();
        let step = step_of(&secret, &code, 1_000_000, 0).unwrap().unwrap();
        assert_eq!(step_of(&secret, &code, 1_000_000, step).unwrap(), None);
        assert_eq!(step_of(&secret, &code, 1_000_000, step + 1).unwrap(), None);
    }

    #[test]
    fn a_code_of_a_minute_ago_is_too_old() {
        let secret = new_secret();
        let code = code_at(&secret, 1_000_000).unwrap();
        assert!(step_of(&secret, &code, 1_000_030, 0).unwrap().is_some());
        assert_eq!(step_of(&secret, &code, 1_000_080, 0).unwrap(), None);
    }

    #[test]
    fn what_is_not_six_digits_is_wrong() {
        let secret = new_secret();
        for code in ["", "12345", "1234567", "12345a", "１２３４５６"] {
            assert_eq!(step_of(&secret, code, 1_000_000, 0).unwrap(), None, "{code}");
        }
    }
}
