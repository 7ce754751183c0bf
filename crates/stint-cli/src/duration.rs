//! Lengths of time as people type them: `40m`, `1h30m`, `90s`, `2d`.

/// Seconds of a length such as `1h30m`; a number alone has no unit and is refused.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is not a length of time: write it as 40m, 1h30m, 90s or 2d");
    let mut rest = text;
    let mut total = 0_u64;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
        let unit = match rest.as_bytes()[digits] {
            b'd' => 86_400,
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return Err(bad()),
        };
        // Each unit once, the larger first: `5m1h` is more likely a slip than a wish.
        if unit >= smallest {
            return Err(bad());
        }
        smallest = unit;
        total = number.checked_mul(unit).and_then(|n| total.checked_add(n)).ok_or_else(bad)?;
        rest = &rest[digits + 1..];
    }
    if total == 0 { Err(bad()) } else { Ok(total) }
}

/// As people say it, at most two units: `1 h 5 min`, `2 d 3 h`, `45 s`.
pub(crate) fn words(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (name, size) in units {
        let n = rest / size;
        rest %= size;
        if n > 0 {
            parts.push(format!("{n} {name}"));
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_people_write_them() {
        for (text, seconds) in
            [("40m", 2400), ("1h", 3600), ("1h30m", 5400), ("90s", 90), ("2d", 172_800), ("1d2h3m4s", 93_784)]
        {
            assert_eq!(parse(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_length_is_refused() {
        for text in
            ["", "40", "m", "0m", "-5m", "1.5h", "40 m", "5m1h", "1h1h", "1w", "99999999999999999999d"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_refused_length_says_how_to_write_it() {
        assert_eq!(
            parse("40").unwrap_err(),
            "\"40\" is not a length of time: write it as 40m, 1h30m, 90s or 2d"
        );
    }

    #[test]
    fn lengths_are_said_in_at_most_two_units() {
        for (seconds, words_) in [
            (0, "0 s"),
            (45, "45 s"),
            (2400, "40 min"),
            (3900, "1 h 5 min"),
            (3661, "1 h 1 min"),
            (3605, "1 h"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(words(seconds), words_);
        }
    }
}
