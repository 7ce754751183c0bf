//! Making break-glass codes. They never leave this machine: what is sent are verifiers.

use stint_api::requests::NewCode;
use stint_grant::codes::{CODE_CHARS, Code, CodePlace, CodeVerifier};
use zeroize::Zeroizing;

use crate::exit::{Exit, Failure, Outcome};

/// So many codes for one place, no two with the same id.
pub(crate) fn make(count: u8, place: &CodePlace) -> Outcome<(Vec<Code>, Vec<NewCode>)> {
    let mut codes: Vec<Code> = Vec::with_capacity(count.into());
    let mut verifiers = Vec::with_capacity(count.into());
    while codes.len() < count.into() {
        let mut bytes = Zeroizing::new([0; CODE_CHARS]);
        let mut salt = [0; 16];
        for part in [bytes.as_mut_slice(), &mut salt] {
            getrandom::fill(part)
                .map_err(|e| Failure::new(Exit::Refused, format!("no random numbers are to be had: {e}")))?;
        }
        let code = Code::of_random(&bytes);
        if codes.iter().any(|known| known.id() == code.id()) {
            continue;
        }
        let CodeVerifier { id, salt, hash, memory_kib, passes } = CodeVerifier::of(&code, place, &salt);
        verifiers.push(NewCode {
            id: id.to_string(),
            salt: salt.to_string(),
            hash: hash.to_string(),
            memory_kib,
            passes,
        });
        codes.push(code);
    }
    Ok((codes, verifiers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_fits_its_own_verifier_at_its_own_place() {
        let place = |host: &str, user: &str| CodePlace {
            fleet: "demo".parse().unwrap(),
            host: host.parse().unwrap(),
            user: user.parse().unwrap(),
        };
        let here = place("web-01", "alice");
        let (codes, sent) = make(2, &here).unwrap();
        let verifier = |new: &NewCode| CodeVerifier {
            id: new.id.parse().unwrap(),
            salt: new.salt.parse().unwrap(),
            hash: new.hash.parse().unwrap(),
            memory_kib: new.memory_kib,
            passes: new.passes,
        };
        assert!(verifier(&sent[0]).fits(&codes[0], &here) && !verifier(&sent[0]).fits(&codes[1], &here));
        for elsewhere in [place("web-02", "alice"), place("web-01", "bob")] {
            assert!(!verifier(&sent[0]).fits(&codes[0], &elsewhere));
        }
    }
}
